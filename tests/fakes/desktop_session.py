"""A laptop around the installed `aegis`: a real X server, a private bus with UPower,
NetworkManager, logind and Mutter, and the agent.

Everything happens to the agent's own process from outside, by services, keys and signals.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

from agent.ipc.client import Channel, NoAgentError, socket_path
from tests.fakes.desktop_services import private_bus
from tests.fakes.timeouts import TIMEOUT_S, until

NEEDED = ("Xvfb", "dbus-daemon")


class Bus:
    """The services of a desktop on a private bus, in a thread of their own."""

    def __init__(self, *services):
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(services)), daemon=True
        )
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)

    async def _serve(self, services):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with private_bus() as self.desktop:
            bus = await self.desktop.start(*services)
            self._ready.set()
            await self._stop.wait()
            bus.disconnect()

    def do(self, act):
        """Run `act(desktop)` where the services live."""

        async def job():
            act(self.desktop)

        asyncio.run_coroutine_threadsafe(job(), self._loop).result(TIMEOUT_S)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)


class Display:
    """Xvfb, and keys typed into it."""

    def __init__(self):
        reads, writes = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writes), "-screen", "0", "640x480x24"],
            pass_fds=[writes],
            stderr=subprocess.DEVNULL,
        )
        os.close(writes)
        with os.fdopen(reads) as told:
            self.name = f":{told.readline().strip()}"

    def type(self):
        subprocess.run(
            ["xdotool", "key", "a"], env={**os.environ, "DISPLAY": self.name}, check=True
        )

    def close(self):
        self._server.terminate()
        self._server.wait()


class DesktopSession:
    """`services`: as tests.fakes.desktop_services starts them; with "idle" Mutter tells the idle time,
    without it the X server does.
    """

    def __init__(self, folder, *services, share=100):
        self.folder = folder
        self.bus, self.display = Bus(*services), Display()
        (folder / "keys").mkdir(parents=True)
        (folder / "keys" / "aegisai-key").write_text("0123456789abcdef" * 2)
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("WAYLAND_DISPLAY", "XDG_SESSION_ID")
        }
        self.environ = {
            **kept,
            **self.bus.desktop.environ,
            "DISPLAY": self.display.name,
            "AEGIS_HOME": str(folder / "device"),
            "AEGIS_POLICY": str(folder / "none"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "CREDENTIALS_DIRECTORY": str(folder / "keys"),
        }
        self.set("key_store", "credential")
        self.set("busy.share", "100")  # whatever else this machine does
        for name in ("cpu.share_in_use", "cpu.share_idle"):
            self.set(name, str(share))
        self.agent = None

    def aegis(self, *words):
        command = [sys.executable, "-m", "agent", *words, "--json"]
        done = subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def set(self, key, value):
        self.aegis("settings", "set", key, value)

    def grant(self):
        self.aegis("consent", "grant", "--accept", self.aegis("consent", "show")["notice_id"])

    def start(self):
        """`aegis run`, until it answers."""
        self.agent = subprocess.Popen(
            [sys.executable, "-m", "agent", "run"],
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self.answers, what="the agent")

    def channel(self):
        return Channel(socket_path(self.folder / "device", self.environ))

    def answers(self):
        """Whether the agent listens: its socket is there a moment before it does, and after a kill
        without it.
        """
        try:
            self.channel().close()
        except NoAgentError:
            return False
        return True

    def worker(self):
        """The pid of the worker that trains, None while there is none."""
        return next(
            (pid for pid in children(self.agent.pid) if b"agent.worker" in _read(pid, "cmdline")),
            None,
        )

    def kill(self):
        self.agent.kill()
        self.agent.wait()

    def close(self):
        if self.agent is not None:
            self.agent.terminate()
            self.agent.wait(TIMEOUT_S)
        self.display.close()
        self.bus.close()


class Watch:
    """`aegis status --watch --json`: every status that it printed, with the time it came."""

    def __init__(self, session):
        self.told = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent", "status", "--watch", "--json"],
            env=session.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: self.told, what="the first status")

    def _read(self):
        for line in self._process.stdout:
            self.told.append((time.monotonic(), json.loads(line)))

    def now(self):
        return self.told[-1][1]

    def codes(self):
        return {reason["code"] for reason in self.now()["reasons"]}

    def begin(self):
        """Forget what was told before the newest."""
        del self.told[:-1]

    def changes(self, code):
        """How often a reason came or went, since `begin`."""
        held = [code in {reason["code"] for reason in status["reasons"]} for _, status in self.told]
        return sum(one != other for one, other in pairwise(held))

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._thread.join(TIMEOUT_S)
        self._process.stdout.close()


def state(pid):
    """The kernel's one-letter state of a process; "" when it is gone."""
    return (_read(pid, "stat").rpartition(b")")[2].split() or [b""])[0].decode()


def children(pid):
    return [int(word) for task in _tasks(pid) for word in _text(task / "children").split()]


def _tasks(pid):
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def _read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
