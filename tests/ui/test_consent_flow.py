"""What the window tells the agent about the person's decision."""

import pytest
from PySide6.QtWidgets import QPushButton, QWidget

from agent.consent.notice import Decision
from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from ui.consent_flow import ConsentFlow, notice_of

EVIDENCE = {
    "notice_id": fakes.notice().notice_id,
    "text_sha256": fakes.notice().text_sha256,
    "surface": "window",
    "locale": fakes.notice().locale,
}


class Asked:
    """A flow whose question is open."""

    def __init__(self, status):
        answers = {"consent.show": fakes.notice_answer()}
        self.client = fakes.FakeAgentClient(status, answers)
        self.window = QWidget()
        self.flow = ConsentFlow(self.client, fakes.no_consent_files(), self.window)
        self.decisions, self.errors = [], []
        self.flow.decided.connect(self.decisions.append)
        self.flow.failed.connect(self.errors.append)
        self.flow.ask()

    def press(self, name):
        self.flow.dialog.findChild(QPushButton, name).click()

    @property
    def reports(self):
        """The calls that report the decision."""
        return [call for call in self.client.calls if call[0] != "consent.show"]


def asked(state):
    return Asked(fakes.status(AgentState.OFF, state))


def test_a_yes_names_what_was_shown(qapp, theme):
    flow = asked(ConsentState.UNASKED)
    flow.press("grantButton")
    assert flow.reports == [("consent.grant", EVIDENCE)]
    assert flow.decisions == [Decision.GRANT]
    assert flow.flow.dialog is None


@pytest.mark.parametrize("state", [ConsentState.UNASKED, ConsentState.STALE])
def test_a_no_to_an_open_question_is_a_refusal(qapp, theme, state):
    flow = asked(state)
    flow.press("refuseButton")
    assert flow.reports == [("consent.refuse", EVIDENCE)]


def test_a_no_on_a_later_reading_withdraws_the_consent(qapp, theme):
    flow = asked(ConsentState.GRANTED)
    flow.press("refuseButton")
    assert flow.reports == [("consent.withdraw", {"surface": "window"})]


@pytest.mark.parametrize("state", [ConsentState.REFUSED, ConsentState.WITHDRAWN])
def test_a_no_after_a_no_changes_nothing(qapp, theme, state):
    flow = asked(state)
    flow.press("refuseButton")
    assert flow.reports == []


def test_closing_is_reported_as_no_decision_and_never_as_an_error(qapp, theme):
    flow = asked(ConsentState.UNASKED)
    flow.client.answers["consent.dismiss"] = fakes.refused()
    flow.flow.close()
    notice_id = EVIDENCE["notice_id"]
    assert flow.reports == [("consent.dismiss", {"notice_id": notice_id, "surface": "window"})]
    assert flow.decisions == [Decision.DISMISSED]
    assert flow.errors == []


def test_asking_again_raises_the_open_question(qapp, theme):
    flow = asked(ConsentState.UNASKED)
    first = flow.flow.dialog
    flow.flow.ask()
    assert flow.flow.dialog is first
    assert flow.client.methods == ["consent.show"]


def test_a_notice_that_cannot_be_fetched_is_an_error(qapp, theme):
    client = fakes.FakeAgentClient(fakes.status(), {"consent.show": fakes.refused("NO_AGENT")})
    window, errors = QWidget(), []
    flow = ConsentFlow(client, fakes.no_consent_files(), window)
    flow.failed.connect(errors.append)
    flow.ask()
    assert [error.code for error in errors] == ["NO_AGENT"]
    assert flow.dialog is None


def test_a_yes_that_the_agent_refuses_is_an_error(qapp, theme):
    flow = asked(ConsentState.UNASKED)
    flow.client.answers["consent.grant"] = fakes.refused("NOTICE_CHANGED")
    flow.press("grantButton")
    assert [error.code for error in flow.errors] == ["NOTICE_CHANGED"]


def test_the_example_comes_from_the_agent(qapp, theme, tmp_path):
    flow = asked(ConsentState.UNASKED)
    flow.client.answers["preview"] = fakes.preview_answer(tmp_path / "gone")
    flow.press("exampleButton")
    assert flow.flow.dialog.example.toPlainText().startswith("# example")


def test_without_an_example_the_dialog_says_why(qapp, theme):
    flow = asked(ConsentState.UNASKED)
    flow.client.answers["preview"] = fakes.refused("NO_AGENT", "AegisAI is not running.")
    flow.press("exampleButton")
    assert "AegisAI is not running." in flow.flow.dialog.example_note.text()


@pytest.mark.parametrize("operator", [True, False])
def test_a_notice_survives_the_channel(operator):
    notice = fakes.notice(operator=operator)
    assert notice_of(fakes.notice_answer(notice)) == notice
