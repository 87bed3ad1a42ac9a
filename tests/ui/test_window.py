"""The window: its pages, its errors and the first run."""

import pytest
from PySide6.QtWidgets import QLabel, QPushButton

from agent.ipc.last_cycle import LastCycle
from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows

PAGES = ("overview", "privacy", "sent", "limits", "activity", "scan", "about", "join", "done")
REFUSED = fakes.status(AgentState.OFF, ConsentState.REFUSED)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_by_its_name(qapp, theme, name):
    window = windows.open_window(qapp, fakes.status(), name, theme)
    assert window.page == name
    assert windows.page(window, f"{name}Page").isVisibleTo(window)


def test_an_unknown_page_is_the_overview(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "no-such-page", theme)
    assert window.page == "overview"


def test_a_page_keeps_its_state_while_another_is_shown(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "join", theme)
    windows.page(window, "joinPage").invitation.setPlainText("aegis1.x")
    window.open_page("overview")
    window.open_page("join")
    assert windows.page(window, "joinPage").invitation.toPlainText() == "aegis1.x"


def test_an_error_is_shown_until_another_page_is_opened(qapp, theme):
    window = windows.open_window(qapp, fakes.waiting(), "overview", theme)
    window.client.answers["pause"] = fakes.refused()
    window.findChild(QPushButton, "pauseButton").click()
    banner = window.findChild(object, "error")
    assert banner.isVisibleTo(window)
    assert "The server cannot be reached." in banner.findChild(QLabel, "errorText").text()
    window.open_page("about")
    assert not banner.isVisibleTo(window)


def test_the_page_follows_the_agent(qapp, theme):
    window = windows.open_window(qapp, fakes.waiting(), "overview", theme)
    headline = window.findChild(QLabel, "headline")
    assert headline.text() == "Waiting"
    window.client.push(fakes.every_state()[AgentState.TRAINING])
    assert headline.text() == "Training"
    window.client.push(None)
    assert headline.text() == "Not running"


def test_until_the_agent_answers_the_last_reason_shows(qapp, theme):
    reason = Reason(ReasonCode.KEYRING_LOCKED, "It is locked.", at=fakes.NOW)
    last = LastCycle(fakes.NOW, (reason,))
    window = windows.open_window(qapp, None, "overview", theme, last_cycle=last)
    assert any("It is locked." in text and "seen" in text for text in windows.texts(window))
    unlock = window.findChild(QPushButton, "unlockButton")
    assert not unlock.isVisibleTo(window)
    window.client.push(fakes.waiting())
    assert not any("It is locked." in text for text in windows.texts(window))


def test_closing_the_window_closes_the_question_unanswered(qapp, theme, qtbot):
    window = windows.open_window(qapp, fakes.new_home(), "consent", theme)
    with qtbot.waitSignal(window.closed):
        window.close()
    assert window.dialog is None
    assert len(windows.params(window, "consent.dismiss")) == 1


def joined(app, theme):
    """A window that has just joined an operator and asks the question."""
    window = windows.open_window(app, fakes.new_home(), "join", theme)
    join = windows.page(window, "joinPage")
    join.invitation.setPlainText("aegis1.x.y")
    join.check.click()
    join.join.click()
    return window


@pytest.mark.parametrize(
    ("button", "status", "answer"),
    [
        ("grantButton", fakes.status(), "Thank you: this computer contributes now"),
        ("refuseButton", REFUSED, "This computer does not contribute"),
    ],
    ids=["yes", "no"],
)
def test_the_first_run_joins_asks_and_says_what_the_answer_means(
    qapp, theme, button, status, answer
):
    window = joined(qapp, theme)
    window.dialog.findChild(QPushButton, button).click()
    window.client.push(status)
    assert window.page == "done"
    assert answer in windows.texts(windows.page(window, "donePage"))


def test_a_first_run_without_an_answer_is_over(qapp, theme):
    window = joined(qapp, theme)
    window.dialog.close()
    assert window.page == "overview"
    window.ask()
    window.dialog.findChild(QPushButton, "grantButton").click()
    assert window.page == "overview"
