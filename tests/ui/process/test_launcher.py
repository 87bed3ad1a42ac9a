"""Starting the agent and windows as processes of their own."""

import json
import os
import subprocess
import sys

import pytest

from agent.ipc.private_folder import PrivateFolder
from agent.ipc.session import session_of
from agent.paths import Home
from tests.fakes import agent_client as fakes
from tests.fakes.timeouts import until
from ui.process import launcher

REPORT = """
import json, os, pathlib, sys
about = {"arguments": sys.argv[1:-1], "folder": os.getcwd(), "session": os.getsid(0)}
path = pathlib.Path(sys.argv[-1])
path.with_suffix(".part").write_text(json.dumps(about))
path.with_suffix(".part").rename(path)
"""
START = """
import sys
from ui.process.launcher import start_aegis
sys.executable = sys.argv[1]
start_aegis(*sys.argv[2:])
"""
"""In a process of its own, as one that starts another and ends."""


@pytest.fixture
def started(monkeypatch):
    """The arguments of every process that would have been started."""
    calls = []
    monkeypatch.setattr(launcher, "start_aegis", lambda *arguments: calls.append(arguments))
    return calls


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def left_socket(home):
    """A socket without a listener, as a killed agent leaves it."""
    with PrivateFolder.make(home.run) as folder:
        folder.listen("agent.sock").close()


def test_a_started_process_outlives_us_and_shares_no_folder(tmp_path):
    (tmp_path / "report.py").write_text(REPORT)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "report.py"} "$@"\n')
    program.chmod(0o755)
    report = tmp_path / "report.json"
    command = [sys.executable, "-c", START, str(program), "window", "about", str(report)]
    assert subprocess.run(command, check=False).returncode == 0
    until(report.exists, what="the report")
    about = json.loads(report.read_text())
    assert about["arguments"] == ["-P", "-m", "agent", "window", "about"]
    assert about["folder"] == "/"
    assert about["session"] != os.getsid(0)


def run(home):
    return ("run", "--session", session_of(os.environ), "--home", str(home.root))


def test_without_a_socket_the_agent_is_started_at_once(home, started):
    launcher.start_agent_if_absent(home, fakes.FakeAgentClient())
    assert started == [run(home)]


def test_an_agent_that_does_not_answer_on_its_socket_is_started(qtbot, home, left_socket, started):
    launcher.start_agent_if_absent(home, fakes.FakeAgentClient())
    qtbot.waitUntil(lambda: bool(started))
    assert started == [run(home)]


class ObservedClient(fakes.FakeAgentClient):
    """Counts how often it is asked whether it is connected."""

    reads = 0

    @property
    def is_connected(self):
        self.reads += 1
        return True

    @is_connected.setter
    def is_connected(self, _):
        pass


def test_an_agent_that_answers_is_not_started_again(qtbot, home, left_socket, started):
    client = ObservedClient(fakes.status())
    launcher.start_agent_if_absent(home, client)
    qtbot.waitUntil(lambda: client.reads == 1)
    assert started == []


@pytest.mark.parametrize(("session", "is_replaced"), [("another login", True), ("", False)])
def test_an_agent_that_another_logins_icon_started_is_started_anew(
    qtbot, home, left_socket, started, session, is_replaced
):
    client = ObservedClient()
    launcher.start_agent_if_absent(home, client, takes_over=True)
    qtbot.waitUntil(lambda: client.reads == 1)
    client.session = session
    client.connectedChanged.emit(True)
    assert ("quit" in client.methods) is is_replaced
    client.connectedChanged.emit(False)
    assert started == [run(home)] * is_replaced
    # It happens once: the new agent is ours.
    client.session = session_of(os.environ)
    client.connectedChanged.emit(True)
    client.connectedChanged.emit(False)
    assert started == [run(home)] * is_replaced
