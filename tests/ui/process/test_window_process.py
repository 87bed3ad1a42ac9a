"""What the window's process does by itself: the first page, and the messages of a second launch."""

import os

import pytest
from PySide6.QtCore import QObject, Qt, Signal

from tests.fakes import agent_client as fakes
from tests.ui import windows
from ui.process.window_process import FirstPage, ProgramFollower, obey


@pytest.fixture
def window(qapp, theme):
    return windows.open_window(qapp, None, "about", theme)


@pytest.mark.parametrize(
    ("requested", "status", "page"),
    [
        ("", fakes.new_home(), "join"),
        ("", fakes.status(), "overview"),
        ("sent", fakes.new_home(), "sent"),
    ],
    ids=["new home", "known home", "requested"],
)
def test_the_first_status_decides_the_first_page(window, requested, status, page):
    FirstPage(window.client, window, requested)
    assert window.page == "about"
    window.client.push(status)
    assert window.page == page


def test_later_statuses_leave_the_page_alone(window):
    FirstPage(window.client, window, "sent")
    window.client.push(fakes.status())
    window.open_page("limits")
    window.client.push(fakes.waiting())
    assert window.page == "limits"


def test_a_second_launch_opens_its_page_and_raises_the_window(window, monkeypatch):
    monkeypatch.delenv("XDG_ACTIVATION_TOKEN", raising=False)
    window.setWindowState(Qt.WindowState.WindowMinimized)
    obey(window, "show", "scan", "token-1")
    assert window.page == "scan"
    assert not window.isMinimized()
    assert os.environ["XDG_ACTIVATION_TOKEN"] == "token-1"


def test_a_second_launch_without_a_page_changes_nothing_but_the_order(window):
    obey(window, "show", "", "")
    assert window.page == "about"
    assert window.isVisible()


def test_quit_closes_the_window(window, qtbot):
    with qtbot.waitSignal(window.closed):
        obey(window, "quit", "", "")
    assert not window.isVisible()


class Watcher(QObject):
    replaced = Signal()
    removed = Signal()


class App(QObject):
    """An application whose focus a test decides."""

    applicationStateChanged = Signal(Qt.ApplicationState)

    def __init__(self, *, active):
        super().__init__()
        self.active = active

    def applicationState(self):
        states = Qt.ApplicationState
        return states.ApplicationActive if self.active else states.ApplicationInactive


def test_a_window_in_use_stays_until_it_is_left_then_the_new_program_shows_it(window):
    watcher, app = Watcher(), App(active=True)
    follower = ProgramFollower(watcher, window, app)
    watcher.replaced.emit()
    app.applicationStateChanged.emit(app.applicationState())
    assert window.isVisible()
    assert not follower.must_restart
    app.active = False
    app.applicationStateChanged.emit(app.applicationState())
    assert not window.isVisible()
    assert follower.must_restart
    assert window.page == "about"


def test_a_window_that_is_left_with_the_old_program_stays(window):
    app = App(active=False)
    follower = ProgramFollower(Watcher(), window, app)
    app.applicationStateChanged.emit(app.applicationState())
    assert window.isVisible()
    assert not follower.must_restart


def test_without_its_program_the_window_closes(window):
    watcher = Watcher()
    follower = ProgramFollower(watcher, window, App(active=True))
    watcher.removed.emit()
    assert not window.isVisible()
    assert not follower.must_restart
