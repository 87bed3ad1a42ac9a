"""The view of a Status: headline, menu and flags."""

import subprocess
import sys

import pytest

from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.view_model import view_of

FORMATTER = PlainFormatter()


def test_it_loads_without_qt():
    script = (
        "import sys, ui.presentation.view_model\n"
        "sys.exit(any(name.startswith('PySide6') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_an_agent_it_claims_nothing():
    view = view_of(None, FORMATTER)
    assert (view.headline, view.state) == ("Not running", AgentState.OFF)
    assert (view.consent, view.model, view.samples, view.reasons) == ("", "", "", ())
    assert view.budget is None
    menu = view.menu
    assert [menu.can_pause, menu.can_resume, menu.can_run_once, menu.can_decide] == [False] * 4


def test_the_first_reason_is_detail_tooltip_and_first_menu_line():
    view = view_of(fakes.waiting(), FORMATTER)
    assert view.detail == "The computer runs on battery"
    assert view.tooltip == "AegisAI – Waiting – The computer runs on battery"
    assert view.menu.first_line == "The computer runs on battery"


@pytest.mark.parametrize(
    ("until", "detail"),
    [(0, "Until you resume"), (fakes.NOW + 900, "Until 2026-11-24 16:15")],
    ids=["open", "fixed time"],
)
def test_a_pause_shows_its_end(until, detail):
    view = view_of(fakes.status(AgentState.PAUSED, paused_until=until), FORMATTER)
    assert view.detail == detail
    assert (view.menu.can_pause, view.menu.can_resume) == (False, True)


def test_without_a_reason_it_shows_when_the_agent_looks_again():
    assert view_of(fakes.status(), FORMATTER).detail == "Looks for a round at 2026-11-24 16:30"


@pytest.mark.parametrize("state", ConsentState)
def test_the_consent_action_names_what_it_does(state):
    view = view_of(fakes.status(consent=state), FORMATTER)
    granted = state is ConsentState.GRANTED
    assert view.menu.consent_text == ("Stop contributing" if granted else "Contribute…")
    assert view.contributes is granted
    assert view.is_asked is (state in (ConsentState.UNASKED, ConsentState.STALE))
    assert view.consent


@pytest.mark.parametrize(
    ("state", "note"),
    [
        (ConsentState.GRANTED, "It holds until 2027-10-15 16:00; then you are asked again."),
        (ConsentState.REFUSED, "Nothing is read for training and nothing is sent."),
        (ConsentState.UNASKED, "Until you say yes, nothing is read"),
    ],
)
def test_the_note_says_what_the_decision_means(state, note):
    assert note in view_of(fakes.status(consent=state), FORMATTER).consent_note


@pytest.mark.parametrize(
    ("code", "possible"),
    [
        (ReasonCode.ON_BATTERY, True),
        (ReasonCode.IN_USE, True),
        (ReasonCode.NO_ROUND, True),
        (ReasonCode.NO_CONSENT, False),
        (ReasonCode.DENIED_BY_POLICY, False),
        (ReasonCode.BUDGET_SPENT, False),
        (ReasonCode.NOT_ENROLLED, False),
    ],
)
def test_training_once_overrides_only_the_persons_own_limits(code, possible):
    view = view_of(fakes.status(reasons=(Reason(code, "x"),)), FORMATTER)
    assert view.menu.can_run_once is possible


@pytest.mark.parametrize("state", [AgentState.TRAINING, AgentState.SENDING])
def test_while_it_works_training_once_is_not_offered(state):
    view = view_of(fakes.every_state()[state], FORMATTER)
    assert not view.menu.can_run_once
    assert view.detail


def test_a_demonstration_model_is_called_one():
    view = view_of(fakes.new_home(), FORMATTER)
    assert "not for protection" in view.model
    assert "None yet" in view.samples
    assert not view.is_member


def test_a_published_model_shows_its_version():
    view = view_of(fakes.status(), FORMATTER)
    assert view.model == "Version 12, signed and verified"
    assert view.samples == "412 benign, 96 malicious"


def test_without_an_agent_the_last_reasons_show_with_their_time_and_offer_nothing():
    reason = Reason(ReasonCode.CYCLE_FAILED, "It is out. Ask.", reading="REVOKED", at=fakes.NOW)
    view = view_of(None, FORMATTER, (reason,))
    (shown,) = view.reasons
    assert shown.title == "The last attempt failed"
    assert "It is out. Ask." in shown.note
    assert f"seen {FORMATTER.moment(fakes.NOW)}" in shown.note
    assert (shown.page, shown.action, view.budget) == ("", "", None)
