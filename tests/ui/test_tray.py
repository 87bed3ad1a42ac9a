"""The tray: every action by its name, what each asks of the agent, and the icon."""

import pytest
from PySide6.QtCore import QDateTime
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QSystemTrayIcon

from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.fakes.agent_client import FakeAgentClient
from ui.tray import Tray

NAMES = ["pause", "resume", "runOnce", "consent", "sent", "settings", "scan", "open", "quit"]


@pytest.fixture
def client():
    return FakeAgentClient(fakes.waiting())


@pytest.fixture
def tray(qapp, client):
    tray = Tray(client, fakes.no_consent_files())
    yield tray
    tray.hide_icon()


def action(tray, name):
    return tray.findChild(QAction, name)


def test_every_action_has_its_name_and_a_label_of_its_own(tray):
    assert list(tray.actions) == NAMES
    labels = [action(tray, name).text() for name in NAMES]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    assert all(action(tray, name) in tray.menu.actions() for name in NAMES)


def test_the_first_line_says_why_it_waits(tray):
    first = tray.menu.actions()[0]
    assert first.text() == "The computer runs on battery"
    assert not first.isEnabled()


@pytest.mark.parametrize(
    ("name", "method", "params"),
    [
        ("pause", "pause", {}),
        ("pause15", "pause", {"seconds": 900}),
        ("pause60", "pause", {"seconds": 3600}),
        ("pauseOpen", "pause", {}),
        ("runOnce", "run_now", {}),
        ("consent", "consent.withdraw", {"surface": "tray"}),
    ],
)
def test_an_action_asks_the_agent_once(tray, client, name, method, params):
    action(tray, name).trigger()
    assert client.calls == [(method, params)]


def test_until_tomorrow_ends_at_the_next_midnight(tray, client):
    action(tray, "pauseTomorrow").trigger()
    ((method, params),) = client.calls
    end = QDateTime.fromSecsSinceEpoch(params["until"])
    assert method == "pause"
    assert end.date() == QDateTime.currentDateTime().date().addDays(1)
    assert (
        end.time().msecsSinceStartOfDay() < 3 * 3600 * 1000
    )  # where clocks change at midnight a day begins later


def test_a_paused_agent_can_be_resumed(tray, client):
    client.push(fakes.every_state()[AgentState.PAUSED])
    assert action(tray, "resume").isVisible()
    assert not action(tray, "pause").isEnabled()
    action(tray, "resume").trigger()
    assert client.methods == ["resume"]


@pytest.mark.parametrize(
    ("name", "page"),
    [("sent", "sent"), ("settings", "privacy"), ("scan", "scan"), ("open", "overview")],
)
def test_an_action_requests_a_window_by_its_page(tray, qtbot, name, page):
    with qtbot.waitSignal(tray.windowRequested) as wanted:
        action(tray, name).trigger()
    assert wanted.args == [page]


def test_quit_is_requested(tray, qtbot):
    with qtbot.waitSignal(tray.quitRequested):
        action(tray, "quit").trigger()


@pytest.mark.parametrize(
    "state",
    [ConsentState.UNASKED, ConsentState.REFUSED, ConsentState.WITHDRAWN, ConsentState.STALE],
)
def test_agreeing_opens_the_question_and_grants_nothing(tray, client, qtbot, state):
    client.push(fakes.status(AgentState.OFF, state))
    with qtbot.waitSignal(tray.windowRequested) as wanted:
        action(tray, "consent").trigger()
    assert wanted.args == ["consent"]
    assert client.calls == []


def test_without_an_agent_only_windows_and_quit_remain(tray, client):
    client.push(None)
    usable = [
        name for name in NAMES if action(tray, name).isEnabled() and action(tray, name).isVisible()
    ]
    assert usable == ["sent", "settings", "scan", "open", "quit"]


def test_the_icon_differs_in_shape_between_all_states(tray, client):
    seen = set()
    for status in fakes.every_state().values():
        client.push(status)
        image = tray.current_icon().pixmap(16, 16).toImage()
        assert {(size.width(), size.height()) for size in tray.current_icon().availableSizes()} >= {
            (16, 16),
            (22, 22),
            (32, 32),
        }
        shape = tuple(image.pixelColor(x, y).alpha() > 127 for y in range(16) for x in range(16))
        seen.add(shape)
    assert len(seen) == 7


def test_the_icon_can_be_made_anew_with_the_same_menu(tray):
    tray.show_icon()
    first = tray.icon
    tray.show_icon()
    assert tray.icon is not first
    assert tray.icon.contextMenu() is tray.menu
    assert tray.icon.toolTip() == tray.view.tooltip


def test_a_click_on_the_icon_opens_the_window(tray, qtbot):
    tray.show_icon()
    with qtbot.waitSignal(tray.windowRequested) as wanted:
        tray.icon.activated.emit(QSystemTrayIcon.ActivationReason.Trigger)
    assert wanted.args == ["overview"]
