"""The Overview page: state, reasons, readings and the privacy budget."""

import pytest
from PySide6.QtWidgets import QPushButton

from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows


def overview(window):
    return windows.page(window, "overviewPage")


def open_overview(app, status, theme):
    return windows.open_window(app, status, "overview", theme)


def test_it_shows_reasons_and_readings_with_their_sources(qapp, theme):
    shown = windows.texts(overview(open_overview(qapp, fakes.waiting(), theme)))
    for text in (
        "The computer runs on battery",
        "64 %, discharging (read from power_supply)",
        "Plugged in",
        "87 %",
        "read from Mutter",
    ):
        assert text in shown


def test_a_reason_leads_to_the_setting_that_removes_it(qapp, theme):
    window = open_overview(qapp, fakes.waiting(), theme)
    change = window.findChild(QPushButton, "lift:battery.rule")
    assert change.text() == "Change: Train on battery"
    change.click()
    assert window.page == "limits"
    windows.settle()
    assert window.focusWidget().objectName() == "setting:battery.rule"


def test_without_samples_it_leads_to_where_they_are_added(qapp, theme):
    reason = Reason(ReasonCode.NOTHING_TO_LEARN, "There are no training rows yet.")
    window = open_overview(qapp, fakes.status(reasons=(reason,)), theme)
    window.findChild(QPushButton, "lift:scan").click()
    assert window.page == "scan"


@pytest.mark.parametrize(
    ("name", "method"),
    [("pauseButton", "pause"), ("runOnceButton", "run_now")],
)
def test_a_button_asks_the_agent(qapp, theme, name, method):
    window = open_overview(qapp, fakes.waiting(), theme)
    window.findChild(QPushButton, name).click()
    assert window.client.methods == [method]


def test_p4_the_person_can_allow_a_model_more(qapp, theme):
    reason = Reason(ReasonCode.MODEL_SPENT, "One model has had 1/4 of this device's budget.")
    window = open_overview(qapp, fakes.status(AgentState.ATTENTION, reasons=(reason,)), theme)
    assert reason.text in windows.texts(overview(window))
    window.findChild(QPushButton, "goOnButton").click()
    assert window.client.methods == ["consent.go_on"]


def visible_buttons(window):
    return {
        each.objectName()
        for each in overview(window).findChildren(QPushButton)
        if each.isVisibleTo(window) and not each.objectName().startswith("lift:")
    }


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        (fakes.new_home(), {"decideButton", "joinButton"}),
        (fakes.waiting(), {"pauseButton", "runOnceButton"}),
        (fakes.every_state()[AgentState.PAUSED], {"resumeButton", "runOnceButton"}),
        (
            fakes.every_state()[AgentState.ATTENTION],
            {"pauseButton", "runOnceButton", "unlockButton"},
        ),
        (
            fakes.status(AgentState.ATTENTION, reasons=(Reason(ReasonCode.MODEL_SPENT, "x"),)),
            {"pauseButton", "runOnceButton", "goOnButton"},
        ),
        (fakes.status(AgentState.OFF, ConsentState.REFUSED), {"decideButton"}),
        (
            fakes.status(reasons=(Reason(ReasonCode.HOLD, "x"),)),
            {"pauseButton", "runOnceButton", "discardButton"},
        ),
        (None, set()),
    ],
    ids=[
        "new",
        "waiting",
        "paused",
        "keyring locked",
        "model spent",
        "refused",
        "on hold",
        "no agent",
    ],
)
def test_it_offers_only_what_helps_now(qapp, theme, status, buttons):
    assert visible_buttons(open_overview(qapp, status, theme)) == buttons


def test_the_buttons_are_called_what_they_do(qapp, theme):
    page = overview(open_overview(qapp, fakes.new_home(), theme))
    assert page.decide.text() == "Review and decide"
    assert page.run_once.text() == "Train once now"


def test_the_notes_of_the_status_are_shown(qapp, theme):
    status = fakes.every_state()[AgentState.ERROR]
    assert status.notes[0] in windows.texts(overview(open_overview(qapp, status, theme)))


def test_without_an_agent_it_shows_no_budget_and_no_facts(qapp, theme):
    shown = windows.texts(overview(open_overview(qapp, None, theme)))
    assert "Not running" in shown
    assert "Privacy budget" not in shown
    assert "Detector" not in shown


def test_while_it_trains_it_shows_progress_instead_of_reasons(qapp, theme):
    window = open_overview(qapp, fakes.every_state()[AgentState.TRAINING], theme)
    meter = overview(window).findChild(object, "progress")
    assert meter.isVisibleTo(window)
    assert meter.accessibleDescription() == "42 % done"
    assert not overview(window).findChild(object, "reasons").isVisibleTo(window)
