"""The program's files are replaced and removed under a running agent, icon and window.

Real processes on a copy of the program. In place of an upgrade whole folders are renamed, as pip
does; dpkg renames file by file.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import agent
from agent.errors import PeerError
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = pytest.mark.system
CLONE = Path(__file__).resolve().parents[2]
ENDS_S = 60.0
"""A program whose files were removed ends within this time."""
NEW = "99.0"


class Installed:
    """A copy of the program, and processes of it on one home."""

    def __init__(self, folder):
        self.folder = folder
        self.home = Home(folder / "home")
        self.program = folder / "program"
        self._copy(self.program)
        # Without the copy there is no program: what else is installed here must not answer.
        (folder / "nothing" / "agent").mkdir(parents=True)
        (folder / "nothing" / "agent" / "__init__.py").write_text("raise ImportError('removed')")
        self._started = []
        self._log = (folder / "log").open("ab")

    def _copy(self, target):
        for name in ("agent", "ui"):
            shutil.copytree(
                CLONE / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
            )

    def start(self, *words):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent", *words],
            env={
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "HOME": str(self.folder),
                "AEGIS_HOME": str(self.home.root),
                "PYTHONPATH": f"{self.program}:{self.folder / 'nothing'}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "QT_QPA_PLATFORM": "offscreen",
            },
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def version(self):
        """The version that the running agent greets with; "" while none answers."""
        try:
            with contextlib.closing(Channel(socket_of(self.home))) as channel:
                return channel.app_version
        except (NoAgentError, PeerError):  # it may be ending
            return ""

    def pid(self):
        """The process id of the agent."""
        return int(self.home.lock.read_text())

    def upgrade(self, *, appended=None, file="agent/app.py"):
        """Put another version in place; `appended` to one of its files."""
        new = self.folder / "new"
        self._copy(new)
        first = new / "agent" / "__init__.py"
        first.write_text(first.read_text().replace(agent.__version__, NEW))
        (new / "ui" / "__init__.py").write_text(
            "import os, sys\nfrom pathlib import Path\n"
            "Path(os.environ['AEGIS_HOME'], 'new-' + sys.argv[1]).touch()\n"
        )
        if appended:
            (new / file).write_text((new / file).read_text() + appended)
        for name in ("agent", "ui"):
            (self.program / name).rename(self.folder / f"old-{name}")
            (new / name).rename(self.program / name)
            shutil.rmtree(self.folder / f"old-{name}")
        shutil.rmtree(new)

    def log(self):
        return (self.folder / "log").read_text()

    def close(self):
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid(), signal.SIGKILL)
        for process in self._started:
            process.kill()
            process.wait()
        self._log.close()


@pytest.fixture
def installed(tmp_path):
    installed = Installed(tmp_path)
    yield installed
    installed.close()


def test_an_upgraded_agent_executes_the_new_program_in_its_own_session(installed):
    process = installed.start("run", "--home", str(installed.home.root))
    until(lambda: installed.version() == agent.__version__, what="the agent")
    session = os.getsid(process.pid)
    began = time.monotonic()
    installed.upgrade()
    until(lambda: installed.version() == NEW, what="the new program")
    print(f"the new program answered {time.monotonic() - began:.1f} s after the upgrade")
    assert installed.pid() == process.pid
    assert os.getsid(process.pid) == session == process.pid
    assert installed.log().count("agent.started") == 2


def test_a_broken_program_never_takes_over_and_a_mended_one_does(installed):
    installed.start("run")
    until(installed.version, what="the agent")
    installed.upgrade(appended="\ndef broken(:\n")
    until(lambda: "whole=False" in installed.log(), what="the question")
    assert installed.version() == agent.__version__
    broken = installed.program / "agent" / "app.py"
    broken.write_text(broken.read_text().replace("def broken(:", ""))
    os.kill(installed.pid(), signal.SIGUSR1)  # as an installer may
    until(lambda: installed.version() == NEW, what="the mended program")


def test_icon_and_agent_take_the_new_program_and_without_one_all_end(installed):
    window = installed.start("window", "about")  # first: the tray opens one of its own to ask
    until((installed.home.run / "window.sock").exists, what="the window")
    tray = installed.start("tray", "--autostart")
    until(installed.version, what="the agent")
    installed.upgrade()
    until(lambda: installed.version() == NEW, what="the new agent")
    until((installed.home.root / "new-tray").exists, what="the new icon")
    # Whether the window follows at once depends on the focus, which no screen gives here.
    assert (tray.poll(), window.poll()) == (None, None)
    agent_pid = installed.pid()

    began = time.monotonic()
    shutil.rmtree(installed.program)
    for process in (tray, window):
        process.wait(TIMEOUT_S)
    until(lambda: not Path(f"/proc/{agent_pid}").exists(), what="the agent's end")
    took_s = time.monotonic() - began
    print(f"all had ended {took_s:.1f} s after the removal")
    assert took_s < ENDS_S
    assert installed.home.database.exists()
