"""One window and one tray per home."""

import socket
import subprocess
import sys

import pytest
from PySide6.QtCore import QTimer

from agent.errors import UserActionError
from ui.process import single_instance
from ui.process.single_instance import SingleInstance, send, show_first

EXIT_TIMEOUT_S = 60


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "window.sock"


@pytest.fixture
def first(path, qapp):
    instance = SingleInstance(path)
    assert instance.claim()
    yield instance
    instance.release()


def test_a_second_launch_sends_its_message_to_the_first(qtbot, first, path):
    with qtbot.waitSignal(first.messageReceived) as received:
        assert send(path, "show", "privacy", "token-1")
    assert received.args == ["show", "privacy", "token-1"]


def test_a_second_process_cannot_become_the_first(first, path):
    assert not SingleInstance(path).claim()


def test_an_unknown_message_is_ignored(qtbot, first, path):
    received = []
    first.messageReceived.connect(lambda *message: received.append(message))
    with qtbot.waitSignal(first.messageReceived):
        send(path, "grant", "x")
        send(path, "quit")  # arrives after the unknown one
    assert received == [("quit", "", "")]


def test_a_line_that_is_too_long_is_dropped(qtbot, first, path):
    received = []
    first.messageReceived.connect(lambda *message: received.append(message))
    with qtbot.waitSignal(first.messageReceived):
        send(path, "show", "x" * 2 * single_instance.MAX_LINE_BYTES)
        send(path, "quit")
    assert received == [("quit", "", "")]


def test_without_a_first_process_there_is_no_listener(path):
    assert not send(path, "show")


def test_the_socket_of_a_dead_process_is_replaced(qtbot, path, qapp):
    path.parent.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    instance = SingleInstance(path)
    assert instance.claim()
    with qtbot.waitSignal(instance.messageReceived):
        send(path, "quit")
    instance.release()


def test_of_two_that_start_at_the_same_moment_one_is_the_first(qapp, path):
    one, other = SingleInstance(path), SingleInstance(path)
    assert [one.claim(), other.claim()] == [True, False]
    one.release()
    assert other.claim()
    other.release()


def test_a_path_that_is_too_long_for_a_socket_does_not_stop_the_first(qapp, tmp_path, monkeypatch):
    # Where the system has no short addresses.
    monkeypatch.setattr("agent.ipc.private_folder.DESCRIPTORS", tmp_path / "nowhere")
    long_path = tmp_path / ("x" * 90) / "window.sock"
    instance = SingleInstance(long_path)
    assert instance.claim()
    assert not SingleInstance(long_path).claim()
    assert not send(long_path, "show")
    instance.release()


def test_a_message_goes_to_nobody_else(first, path, monkeypatch):
    monkeypatch.setattr("agent.ipc.client.is_this_user", lambda _: False)
    with pytest.raises(UserActionError) as raised:
        send(path, "show", "privacy", "token-1")
    assert raised.value.code == "CHANNEL_FOREIGN"


def test_a_first_process_that_has_only_just_started_is_waited_for(qtbot, path):
    instance = SingleInstance(path)
    QTimer.singleShot(200, instance.claim)
    script = (
        "import sys, pathlib; from ui.process.single_instance import show_first\n"
        "show_first(pathlib.Path(sys.argv[1]), 'sent')"
    )
    second = subprocess.Popen([sys.executable, "-c", script, str(path)])
    with qtbot.waitSignal(instance.messageReceived) as received:
        pass
    assert received.args[:2] == ["show", "sent"]
    assert second.wait(EXIT_TIMEOUT_S) == 0
    instance.release()


def test_a_first_process_that_never_listens_is_reported(path, qapp, monkeypatch):
    monkeypatch.setattr(single_instance, "START_TIMEOUT_MS", 0)
    with pytest.raises(UserActionError) as raised:
        show_first(path, "sent")
    assert raised.value.code == "RUNNING_ALREADY"


def test_the_activation_token_travels_with_the_message(qtbot, first, path, monkeypatch):
    monkeypatch.setenv("XDG_ACTIVATION_TOKEN", "token-2")
    with qtbot.waitSignal(first.messageReceived) as received:
        show_first(path, "sent")
    assert received.args == ["show", "sent", "token-2"]
