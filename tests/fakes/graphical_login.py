"""A graphical login for real windows: Xvfb, a window manager, a private session bus and, if wanted,
a keyring.

`with GraphicalLogin(folder) as login:`; `login.start("tray")` runs `aegis tray` in it. It never
touches the login that runs the tests.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.errors import AegisError
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from tests.fakes import secret_service
from tests.fakes.timeouts import TIMEOUT_S, until

NEEDED = (
    "Xvfb",
    "openbox",
    "xdotool",
    "xprop",
    "dbus-daemon",
    "dbus-send",
    "gnome-keyring-daemon",
)
END_S = 5.0
"""A process that was asked to end is killed after this time."""


def missing():
    """Names of the programs that are not installed, or ""."""
    return " ".join(name for name in NEEDED if not shutil.which(name))


needs_login = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
"""The mark of tests that need a graphical login."""


def command_line(pid):
    """A process's command line; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes().decode().split("\0")
    return []


class GraphicalLogin:
    """Every process that runs in it ends with it.

    With `keyring` a real, unlocked Secret Service is on the bus.
    """

    def __init__(self, folder, *, keyring=False, home=None):
        self.folder = folder
        self.home = home or folder / "home"
        self._keyring = keyring
        self._started = []
        self._is_forgotten = False

    def __enter__(self):
        # Services of the login may still write there while it is removed.
        self._runtime = tempfile.TemporaryDirectory(prefix="aegisai-", ignore_cleanup_errors=True)
        self._log = (self.folder / "desktop.log").open("ab")
        self.environ = {
            **secret_service.environment(self.folder),
            "XDG_RUNTIME_DIR": self._runtime.name,
            "AEGIS_HOME": str(self.home),
            "QT_QPA_PLATFORM": "xcb",
            "LANG": "C.UTF-8",
        }
        bus = self._run(
            ["dbus-daemon", "--session", "--nofork", "--print-address=1"], stdout=subprocess.PIPE
        )
        self.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
        read, write = os.pipe()
        screen = [
            "Xvfb",
            "-displayfd",
            str(write),
            "-screen",
            "0",
            "1280x900x24",
            "-nolisten",
            "tcp",
        ]
        self._screen = self._run(screen, pass_fds=(write,))
        os.close(write)
        with os.fdopen(read) as number:
            self.environ["DISPLAY"] = f":{number.readline().strip()}"
        self._manager = self._run(["openbox"])
        until(self._is_managed, what="the window manager")
        if self._keyring:
            store = self._run(
                ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                stdin=subprocess.PIPE,
            )
            store.stdin.write(secret_service.PASSWORD.encode())
            store.stdin.close()
            until(lambda: self._is_on_the_bus("org.freedesktop.secrets"), what="the keyring")
        return self

    def __exit__(self, *_):
        if not self._is_forgotten:
            until(lambda: not self._killed(), what="the end of the killed processes")
        for process in reversed(self._started):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self._started):
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(TIMEOUT_S)
            if process.stdout is not None:
                process.stdout.close()
        self._log.close()
        self._runtime.cleanup()

    def start(self, *arguments):
        """Start `aegis ARGUMENTS` in this login and return the process."""
        return self._run([sys.executable, "-m", "agent", *arguments])

    def aegis(self, *arguments):
        """Run `aegis ARGUMENTS` and return what it prints."""
        command = [sys.executable, "-m", "agent", *arguments]
        result = subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def call(self, method, params=None):
        """Call a method of the running agent."""
        channel = until(self._channel, what="the agent")
        try:
            return channel.call(method, params or {})
        finally:
            channel.close()

    def status(self):
        return self.call("status")

    def until_status(self, holds, what="the status", seconds=TIMEOUT_S):
        """Wait for a Status for which `holds` is true, and return it."""

        def poll():
            status = self.status()
            return status if holds(status) else None

        return until(poll, seconds, what)

    def agents(self):
        """Process ids of every AegisAI process on this home."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                surroundings = (entry / "environ").read_bytes().split(b"\0")
                if b"agent" in arguments and f"AEGIS_HOME={self.home}".encode() in surroundings:
                    found.append(int(entry.name))
        return found

    def until_gone(self, seconds=TIMEOUT_S):
        """Wait until no AegisAI process runs on this home; otherwise fail with their commands."""
        with contextlib.suppress(AssertionError):
            until(lambda: not self.agents(), seconds)
        left = [command_line(pid) for pid in self.agents()]
        assert left == [], left

    def end_display(self):
        """End the X server, as a logout does."""
        self._screen.kill()
        self._screen.wait(TIMEOUT_S)

    def forget(self):
        """Leave the AegisAI processes of this login alone when it ends."""
        self._is_forgotten = True

    def xdotool(self, *arguments):
        command = ["xdotool", *arguments]
        result = subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return result.stdout.split()

    def window(self, title, seconds=TIMEOUT_S):
        """Wait for a visible window with this title and return its X id."""
        return until(lambda: self.windows(title), seconds, f"a window {title!r}")[0]

    def windows(self, title):
        """X ids of the visible windows with this title; repeated when one closes meanwhile."""
        command = ["xdotool", "search", "--onlyvisible", "--name", title]

        def search():
            result = subprocess.run(
                command,
                env=self.environ,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            return None if "X Error" in result.stderr else result

        return until(search, what="an undisturbed search").stdout.split()

    def focus(self, window):
        until(
            lambda: (
                self.xdotool("windowactivate", window),
                self.xdotool("getactivewindow") == [window],
            )[1],
            what="the focus",
        )

    def keys(self, *keys):
        self.xdotool("key", "--delay", "60", *keys)

    def shot(self, path):
        """Save the screen as a picture."""
        subprocess.run(
            ["import", "-window", "root", str(path)],
            env=self.environ,
            check=True,
            timeout=TIMEOUT_S,
        )

    def _killed(self):
        """Kill every AegisAI process that still runs on this home; return their ids."""
        found = self.agents()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._started:
            process.poll()
        return found

    def _is_managed(self):
        """Whether the window manager runs; one that found no display yet is started again."""
        if self._manager.poll() is not None:
            self._manager = self._run(["openbox"])
        command = ["xprop", "-root", "_NET_SUPPORTING_WM_CHECK"]
        result = subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return "window id" in result.stdout

    def _is_on_the_bus(self, name):
        command = [
            "dbus-send",
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.DBus",
            "/",
            "org.freedesktop.DBus.NameHasOwner",
        ]
        answer = subprocess.run(
            [*command, f"string:{name}"],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        return "boolean true" in answer.stdout

    def _channel(self):
        with contextlib.suppress(NoAgentError, AegisError, OSError):
            return Channel(socket_of(Home(self.home)))

    def _run(self, command, **options):
        streams = {"stdin": subprocess.DEVNULL, "stdout": self._log, "stderr": self._log}
        process = subprocess.Popen(command, env=self.environ, **{**streams, **options})
        self._started.append(process)
        return process
