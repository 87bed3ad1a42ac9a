"""What the tray's process does by itself: windows, the first question, its own end."""

import pytest
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction

from agent.paths import Home
from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from ui.process import tray_process
from ui.process.tray_process import TrayController
from ui.tray import Tray


class Host(QObject):
    appeared = Signal()
    absent = Signal()


class Process:
    """A controller with its surroundings: what it started and how often it ended."""

    def __init__(self, home, *, autostart):
        self.client = fakes.FakeAgentClient()
        self.tray = Tray(self.client, fakes.no_consent_files())
        self.host = Host()
        self.started, self.ends = [], []
        self.controller = TrayController(
            home,
            self.tray,
            self.host,
            end=lambda *_: self.ends.append(True),
            autostart=autostart,
            start=lambda *arguments: self.started.append(arguments),
        )
        self.home = ("--home", str(home.root))

    def answer(self, method, answer):
        self.client.answers[method] = answer


@pytest.fixture
def make(qapp, tmp_path, monkeypatch):
    made = []

    def make(*, autostart=False):
        made.append(Process(Home(tmp_path / "home"), autostart=autostart))
        return made[-1]

    yield make
    for process in made:
        process.tray.hide_icon()


def invited():
    """A device whose operator is known but whose person has not decided."""
    return fakes.status(AgentState.OFF, ConsentState.UNASKED)


def test_started_by_hand_a_new_home_gets_a_window(make):
    process = make()
    process.client.push(fakes.new_home())
    assert process.started == [("window", *process.home)]


@pytest.mark.parametrize(("allowed", "page"), [(True, ("consent",)), (False, ())])
def test_started_by_hand_an_invited_home_gets_the_question_if_it_may_be_asked(make, allowed, page):
    process = make()
    process.answer("consent.prompt", {"allowed": allowed})
    process.client.push(invited())
    assert process.started == [("window", *page, *process.home)]


def test_started_by_hand_a_decided_home_gets_no_window(make):
    process = make()
    process.client.push(fakes.status())
    assert process.started == []
    assert process.client.calls == []


def test_started_at_login_the_question_opens_without_taking_the_focus(make):
    process = make(autostart=True)
    process.answer("consent.prompt", {"allowed": True})
    process.client.push(invited())
    assert process.started == [("window", "consent", *process.home, "--quietly")]


def test_started_at_login_it_opens_nothing_when_it_may_not_ask(make):
    process = make(autostart=True)
    process.answer("consent.prompt", {"allowed": False})
    process.client.push(invited())
    assert process.started == []


def test_only_the_first_status_opens_windows(make):
    process = make()
    process.client.push(fakes.new_home())
    process.client.push(fakes.new_home())
    assert len(process.started) == 1


@pytest.mark.parametrize("state", [ConsentState.REFUSED, ConsentState.WITHDRAWN])
@pytest.mark.parametrize("is_kept", [True, False])
def test_started_at_login_after_a_no_it_ends_unless_the_icon_is_kept(make, state, is_kept):
    process = make(autostart=True)
    process.answer("consent.prompt", {"allowed": False})
    process.answer("settings.get", {"settings": [{"value": is_kept}]})
    process.client.push(fakes.status(AgentState.OFF, state))
    assert ("quit" in process.client.methods) is not is_kept


def test_without_an_area_the_window_opens_instead(make):
    process = make()
    process.host.absent.emit()
    assert process.started == [("window", *process.home)]
    assert process.ends == []


def test_without_an_area_an_open_window_is_enough(make):
    process = make()
    process.client.push(fakes.new_home())
    process.host.absent.emit()
    assert len(process.started) == 1


def test_started_at_login_without_an_area_only_the_icons_process_ends(make):
    process = make(autostart=True)
    process.host.absent.emit()
    assert process.ends == [True]
    assert process.started == []
    assert process.client.calls == []  # the agent goes on


def test_an_area_that_appears_gets_the_icon(make):
    process = make()
    process.host.appeared.emit()
    assert process.tray.icon is not None


def test_a_window_is_opened_on_the_page_of_its_action(make):
    process = make()
    process.tray.findChild(QAction, "sent").trigger()
    assert process.started == [("window", "sent", *process.home)]


def test_quit_ends_the_agent_and_then_this_process(make):
    process = make()
    process.client.push(fakes.status())
    process.tray.findChild(QAction, "quit").trigger()
    assert process.client.methods == ["quit"]
    assert process.ends == []
    process.client.push(None)  # the agent has ended
    assert process.ends == [True]


def test_quit_without_an_agent_ends_at_once(make):
    process = make()
    process.answer("quit", fakes.refused("NO_AGENT"))
    process.controller.quit()
    assert process.ends == [True]


def test_quit_does_not_wait_for_an_agent_that_hangs(make, qtbot, monkeypatch):
    monkeypatch.setattr(tray_process, "QUIT_TIMEOUT_MS", 10)
    process = make()
    process.client.push(fakes.status())
    process.controller.quit()
    qtbot.waitUntil(lambda: process.ends == [True])
