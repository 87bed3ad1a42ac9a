"""The agent of a home is reached whatever became of the login that started it: real processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.consent.mark import Mark
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from tests.fakes.graphical_login import GraphicalLogin, command_line, needs_login
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = pytest.mark.system
CLONE = Path(__file__).resolve().parents[2]
STOPS_S = 1.0
"""An agent that finds a mark stops within this time."""


class Computer:
    """One home, and agents and commands on it with the environment that each test chooses."""

    def __init__(self, folder):
        self.folder = folder
        self.home = Home(folder / "home")
        self._started = []

    def environ(self, **more):
        """What cron or sudo leaves of an environment."""
        return {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "PYTHONPATH": str(CLONE),
            "AEGIS_HOME": str(self.home.root),
            **more,
        }

    def aegis(self, *words, **more):
        return subprocess.run(
            [sys.executable, "-P", "-m", "agent", *words],
            env=self.environ(**more),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def answer(self, *words, **more):
        done = self.aegis(*words, "--json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def grant(self):
        self.answer("consent", "grant", "--accept", self.answer("consent", "show")["notice_id"])

    def start(self, **more):
        """Start `aegis run`, wait until it answers, and return the process."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent", "run"],
            env=self.environ(**more),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._started.append(process)
        until(self._answers, what="the agent")
        return process

    def _answers(self):
        with contextlib.suppress(NoAgentError), contextlib.closing(Channel(socket_of(self.home))):
            return True
        return False

    def close(self):
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture
def computer(tmp_path):
    computer = Computer(tmp_path)
    yield computer
    computer.close()


def test_the_agent_is_reached_from_every_environment(computer, tmp_path):
    (tmp_path / "runtime").mkdir(mode=0o700)
    agent = computer.start(XDG_RUNTIME_DIR=str(tmp_path / "runtime"))
    shutil.rmtree(tmp_path / "runtime")
    for more in ({}, {"XDG_RUNTIME_DIR": "/nowhere"}, {"TMPDIR": "/nowhere"}):
        assert computer.answer("status", **more)["state"] == "off"
    assert computer.answer("quit")["was_running"] is True
    assert agent.wait(TIMEOUT_S) == 0


def test_a_killed_agent_leaves_nothing_in_the_way(computer):
    computer.start().kill()
    until(lambda: computer.answer("status")["state"] == "off")
    agent = computer.start()
    until(lambda: computer.aegis("run").returncode == 1, what="the refusal of a second agent")
    assert computer.answer("quit")["was_running"] is True
    assert agent.wait(TIMEOUT_S) == 0


def test_commands_at_the_same_time_wait_for_each_other(computer):
    """Without an agent each takes the lock; an agent that starts meanwhile waits as well."""
    computer.answer("status")
    commands = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "agent", *words],
            env=computer.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in (
            ("settings", "set", "cpu.share_idle", "20"),
            ("settings", "set", "cpu.share_in_use", "10"),
            ("status",),
        )
    ]
    computer.start()
    assert [command.communicate(timeout=TIMEOUT_S)[1] for command in commands] == ["", "", ""]
    shown = {each["key"]: each["value"] for each in computer.answer("settings", "get")["settings"]}
    assert (shown["cpu.share_idle"], shown["cpu.share_in_use"]) == (20, 10)


def test_p2_withdrawing_reaches_an_agent_that_does_not_answer(computer, record_property):
    """It is stopped by the system, as on a computer that is out of memory, and goes on later."""
    computer.grant()
    agent = computer.start()
    agent.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    answer = computer.answer("consent", "withdraw")
    took_s = time.monotonic() - started
    assert answer == {"state": "WITHDRAWN", "recorded": False, "code": "AGENT_SILENT"}
    mark = Mark(computer.home.withdrawal_mark)
    assert mark.is_there()
    began = time.monotonic()
    agent.send_signal(signal.SIGCONT)
    until(lambda: not mark.is_there(), what="the record")
    stopped_s = time.monotonic() - began
    print(f"withdrawn in {took_s:.1f} s; stopped {stopped_s * 1000:.0f} ms after it went on")
    assert stopped_s < STOPS_S
    assert computer.answer("status")["consent"]["state"] == "WITHDRAWN"
    agent.kill()
    agent.wait()
    assert computer.answer("status")["consent"]["state"] == "WITHDRAWN"


def test_p2_withdrawing_survives_the_death_of_an_agent_that_never_heard_of_it(computer):
    computer.grant()
    agent = computer.start()
    agent.send_signal(signal.SIGSTOP)
    done = computer.aegis("consent", "withdraw")
    assert done.returncode == 0
    assert "Consent is WITHDRAWN, also after a restart." in done.stdout
    agent.kill()
    agent.wait()
    computer.start()
    assert computer.answer("status")["consent"]["state"] == "WITHDRAWN"
    assert not Mark(computer.home.withdrawal_mark).is_there()


def test_p2_withdrawing_reaches_an_agent_whose_folder_was_taken_away(computer):
    computer.grant()
    agent = computer.start()
    computer.home.run.chmod(0o777)
    answer = computer.answer("consent", "withdraw")
    assert answer == {"state": "WITHDRAWN", "recorded": True, "code": "CHANNEL_UNSAFE"}
    computer.home.run.chmod(0o700)
    assert computer.answer("status")["consent"]["state"] == "WITHDRAWN"
    assert agent.poll() is None


def agents_of(home):
    """Process ids of the agents on a home, by the command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and {"run", str(home)} <= set(command_line(int(entry.name))):
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                if state != b"Z":
                    found.append(int(entry.name))
    return found


@needs_login
def test_after_a_logout_the_agent_is_reached_and_the_next_login_takes_over(tmp_path):
    home = tmp_path / "home"
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with contextlib.ExitStack() as stack:
        with GraphicalLogin(first, home=home) as login:
            tray = login.start("tray", "--autostart")
            login.until_status(lambda status: status["state"] == "off")
            login.aegis("consent", "grant", "--accept", login.call("consent.show")["notice_id"])
            # libX11 ends a process whose display ends while it is being opened.
            login.until_status(lambda status: "X11" in json.dumps(status["readings"]))
            (agent,) = agents_of(home)
            stack.callback(_end, agent)
            login.end_display()
            until(lambda: tray.poll() is not None, what="the end of the icon")
            shutil.rmtree(login.environ["XDG_RUNTIME_DIR"])
            login.forget()
            assert agents_of(home) == [agent]
            environ = {
                key: value
                for key, value in login.environ.items()
                if key not in ("DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
            }
            withdrawn = subprocess.run(
                [sys.executable, "-m", "agent", "consent", "withdraw", "--json"],
                env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
            )  # fmt: skip
            assert json.loads(withdrawn.stdout)["consent"]["state"] == "WITHDRAWN"
        with GraphicalLogin(second, home=home) as login:
            login.aegis("settings", "set", "tray.keep_icon", "true")
            login.start("tray", "--autostart")
            # The old agent knows the old login's bus and screen: this login's agent replaces it.
            until(lambda: agents_of(home) not in ([], [agent]), what="the agent of this login")
            status = login.until_status(lambda status: status["state"] == "off")
            assert status["consent"]["state"] == "WITHDRAWN"
            assert len(agents_of(home)) == 1
            login.aegis("quit")


def _end(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
