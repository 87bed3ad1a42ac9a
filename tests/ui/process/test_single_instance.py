"""One window and one tray per home."""

import subprocess
import sys

import pytest
from PySide6.QtCore import QTimer

from ui.process.single_instance import SingleInstance, tell


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "window.sock"


@pytest.fixture
def first(path, qapp):
    instance = SingleInstance(path)
    assert instance.claim()
    yield instance
    instance.release()


def test_a_second_launch_tells_the_first(qtbot, first, path):
    with qtbot.waitSignal(first.asked) as asked:
        assert tell(path, "show", "privacy", "token-1")
    assert asked.args == ["show", "privacy", "token-1"]


def test_the_second_is_told_that_it_is_not_the_first(first, path):
    assert not SingleInstance(path).claim()


def test_words_that_are_not_known_are_ignored(qtbot, first, path):
    with qtbot.assertNotEmitted(first.asked, wait=100):
        tell(path, "grant", "x")


def test_nobody_listens(path):
    assert not tell(path, "show")


def test_a_socket_that_was_left_behind_is_replaced(qtbot, path, tmp_path, qapp):
    import socket

    path.parent.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    instance = SingleInstance(path)
    assert instance.claim()
    with qtbot.waitSignal(instance.asked):
        tell(path, "quit")
    instance.release()


def test_of_two_that_start_in_the_same_moment_one_is_first(qapp, path):
    one, other = SingleInstance(path), SingleInstance(path)
    assert [one.claim(), other.claim()] == [True, False]
    one.release()
    assert other.claim()
    other.release()


def test_a_path_that_is_too_long_for_a_socket_does_not_keep_it_from_opening(qapp, tmp_path):
    far = tmp_path / ("x" * 90) / "window.sock"
    instance = SingleInstance(far)
    assert instance.claim()
    assert not SingleInstance(far).claim()
    assert not tell(far, "show")
    instance.release()


def test_one_that_has_only_just_begun_is_waited_for(qtbot, path):
    instance = SingleInstance(path)
    QTimer.singleShot(200, instance.claim)
    script = (
        "import sys, pathlib; from ui.process.single_instance import tell_first; sys.exit(not"
        " tell_first(pathlib.Path(sys.argv[1]), 'show', 'sent'))"
    )
    asker = subprocess.Popen([sys.executable, "-c", script, str(path)])
    with qtbot.waitSignal(instance.asked) as asked:
        pass
    assert asked.args[:2] == ["show", "sent"]
    assert asker.wait(60) == 0
    instance.release()
