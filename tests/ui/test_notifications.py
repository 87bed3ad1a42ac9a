"""Notifications: for needs and errors, at most once a day for each cause."""

import pytest
from PySide6.QtWidgets import QSystemTrayIcon

from agent.reasons import Reason, ReasonCode
from agent.status import AgentState
from tests.fakes import agent_client as fakes
from tests.fakes.clock import FakeClock
from ui.notifications import Notifier
from ui.tray import Tray

STATES = fakes.every_state()
QUIET = (
    AgentState.OFF,
    AgentState.WAITING,
    AgentState.TRAINING,
    AgentState.SENDING,
    AgentState.PAUSED,
)


class ShownMessages(Tray):
    """A tray whose icon keeps its messages instead of showing them."""

    def show_icon(self):
        super().show_icon()
        self.messages = []
        self.icon.showMessage = lambda *message: self.messages.append(message[:2])


@pytest.fixture
def clock():
    return FakeClock(fakes.NOW)


@pytest.fixture
def tray(qapp, clock):
    tray = ShownMessages(fakes.FakeAgentClient(fakes.waiting()), fakes.no_consent_files())
    tray.show_icon()
    Notifier(tray, clock.now)
    yield tray
    tray.hide_icon()


@pytest.mark.parametrize("state", QUIET)
def test_ordinary_states_are_silent(tray, state):
    tray.client.push(STATES[state])
    assert tray.messages == []


def test_a_need_is_announced_once_a_day(tray, clock):
    for _ in range(3):
        tray.client.push(STATES[AgentState.ATTENTION])
    assert tray.messages == [("AegisAI", "Needs you. The keyring of your login is locked")]
    clock.advance(24 * 3600)
    tray.client.push(STATES[AgentState.ATTENTION])
    assert len(tray.messages) == 2


def test_a_question_that_can_wait_is_shown_once(tray, clock):
    reason = Reason(ReasonCode.MODEL_SPENT, "One model has had its share.")
    for _ in range(3):
        tray.client.push(fakes.status(AgentState.ATTENTION, reasons=(reason,)))
        clock.advance(24 * 3600)
    assert len(tray.messages) == 1


def test_another_cause_is_announced_on_the_same_day(tray):
    tray.client.push(STATES[AgentState.ATTENTION])
    tray.client.push(STATES[AgentState.ERROR])
    assert len(tray.messages) == 2


def test_without_an_icon_nothing_is_shown(qapp, clock):
    client = fakes.FakeAgentClient(fakes.waiting())
    Notifier(Tray(client, fakes.no_consent_files()), clock.now)
    client.push(STATES[AgentState.ERROR])
    client.push(None)
    assert client.calls == []


def test_the_message_is_a_warning_of_the_program(tray, clock):
    kinds = []
    tray.icon.showMessage = lambda *message: kinds.append(message[2])
    tray.client.push(STATES[AgentState.ERROR])
    assert kinds == [QSystemTrayIcon.MessageIcon.Warning]
