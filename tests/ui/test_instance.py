"""One window and one tray per home."""

import pytest

from ui.instance import Instance, tell


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "window.sock"


@pytest.fixture
def first(path, qapp):
    instance = Instance(path)
    assert instance.claim()
    yield instance
    instance.release()


def test_a_second_launch_tells_the_first(qtbot, first, path):
    with qtbot.waitSignal(first.asked) as asked:
        assert tell(path, "show", "privacy", "token-1")
    assert asked.args == ["show", "privacy", "token-1"]


def test_the_second_is_told_that_it_is_not_the_first(first, path):
    assert not Instance(path).claim()


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
    instance = Instance(path)
    assert instance.claim()
    with qtbot.waitSignal(instance.asked):
        tell(path, "quit")
    instance.release()
