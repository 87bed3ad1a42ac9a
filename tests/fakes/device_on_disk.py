"""The real `aegis` command on a home that lies on a small disk."""

import json
import os
import subprocess
import sys

from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S


class DeviceOnDisk:
    """Runs commands, and an agent in a process of its own."""

    def __init__(self, disk, runtime):
        self.disk = disk
        self.home = disk.inside / "home"
        runtime.mkdir(mode=0o700)
        self.environ = {
            **os.environ,
            "HOME": os.fspath(runtime),
            "AEGIS_HOME": os.fspath(disk.folder / "home"),
            "AEGIS_POLICY": os.fspath(runtime / "none"),
            "XDG_RUNTIME_DIR": os.fspath(runtime),
        }
        self._agents = []

    def run(self, *words, before=()):
        """Return the exit code, the output and the error output. `before`: words in front."""
        done = subprocess.run(
            self.disk.command(*before, *self._program(*words)),
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=CYCLE_TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def answer(self, *words):
        code, output, errors = self.run(*words, "--json")
        assert code == 0, errors
        return json.loads(output)

    def grant(self):
        notice_id = self.answer("consent", "show")["notice_id"]
        return self.run("consent", "grant", "--accept", notice_id)

    def consent(self):
        return self.answer("status")["consent"]["state"]

    def start_agent(self):
        """Start the agent and return its process once it listens."""
        agent = subprocess.Popen(
            self.disk.command(*self._program("run")),
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in agent.stderr:
            if "agent.started" in line:
                break
        self._agents.append(agent)
        return agent

    def stop_agents(self):
        for agent in self._agents:
            if agent.poll() is None:
                agent.kill()
            agent.wait(TIMEOUT_S)
            agent.stderr.close()
        self._agents.clear()

    @staticmethod
    def _program(*words):
        return [sys.executable, "-m", "agent", *words]
