"""A desktop session around a real agent process: an X server and a private bus with the desktop's
services.

Everything happens to the agent from outside: by services, keys and signals. For windows and the
tray see `graphical_login.py`.
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

from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from tests.fakes.desktop_services import private_bus
from tests.fakes.timeouts import TIMEOUT_S, until

NEEDED = ("Xvfb", "dbus-daemon")


class Bus:
    """DesktopServices in a thread of their own."""

    def __init__(self, *services):
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(services)), daemon=True
        )
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)

    async def _serve(self, services):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with private_bus() as self.services:
            bus = await self.services.start(*services)
            self._ready.set()
            await self._stop.wait()
            bus.disconnect()

    def do(self, act):
        """Run `act(services)` in the thread of the services."""

        async def job():
            act(self.services)

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
        with os.fdopen(reads) as number:
            self.name = f":{number.readline().strip()}"

    def type(self):
        subprocess.run(
            ["xdotool", "key", "a"], env={**os.environ, "DISPLAY": self.name}, check=True
        )

    def close(self):
        self._server.terminate()
        self._server.wait()


class DesktopSession:
    """One session with one agent.

    `services` are those of `DesktopServices.start`. With "idle" the idle time comes from Mutter,
    without it from the X server. `share` is the processor limit in per cent of a core.
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
            **self.bus.services.environ,
            "DISPLAY": self.display.name,
            "AEGIS_HOME": str(folder / "device"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "CREDENTIALS_DIRECTORY": str(folder / "keys"),
        }
        self.set("key_store", "credential")
        self.set("busy.share", "100")  # whatever else this machine does
        for name in ("cpu.share_in_use", "cpu.share_idle"):
            self.set(name, str(share))
        self.agent = None

    def aegis(self, *arguments):
        command = [sys.executable, "-m", "agent", *arguments, "--json"]
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
        """Start `aegis run` and wait until it answers."""
        self.agent = subprocess.Popen(
            [sys.executable, "-m", "agent", "run"],
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self.answers, what="the agent")

    def channel(self):
        return Channel(socket_of(Home(self.folder / "device")))

    def answers(self):
        """Whether the agent listens. Its socket proves nothing: it still exists after a kill."""
        try:
            self.channel().close()
        except NoAgentError:
            return False
        return True

    def worker(self):
        """The pid of the worker that trains, or None."""
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
    """Every status that `aegis status --watch --json` has printed, with the time of its arrival."""

    def __init__(self, session):
        self.received = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent", "status", "--watch", "--json"],
            env=session.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: self.received, what="the first status")

    def _read(self):
        for line in self._process.stdout:
            self.received.append((time.monotonic(), json.loads(line)))

    def now(self):
        return self.received[-1][1]

    def codes(self):
        return {reason["code"] for reason in self.now()["reasons"]}

    def begin(self):
        """Forget all statuses but the latest."""
        del self.received[:-1]

    def changes(self, code):
        """How often a reason appeared or disappeared since `begin`."""
        present = [
            code in {reason["code"] for reason in status["reasons"]} for _, status in self.received
        ]
        return sum(one != other for one, other in pairwise(present))

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._thread.join(TIMEOUT_S)
        self._process.stdout.close()


def state(pid):
    """The kernel's one-letter state of a process; "" when it has ended."""
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
