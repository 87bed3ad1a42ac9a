"""The last page of the first run."""

import pytest

from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows

REFUSED = fakes.status(AgentState.OFF, ConsentState.REFUSED)


@pytest.mark.parametrize(
    ("status", "answer", "offers_samples"),
    [
        (fakes.status(), "Thank you: this computer contributes now", True),
        (REFUSED, "This computer does not contribute", False),
    ],
    ids=["yes", "no"],
)
def test_it_says_what_the_answer_means(qapp, theme, status, answer, offers_samples):
    window = windows.open_window(qapp, status, "done", theme)
    done = windows.page(window, "donePage")
    assert done.answer.text() == answer
    assert done.samples.isVisibleTo(window) is offers_samples


@pytest.mark.parametrize(("button", "page"), [("samples", "scan"), ("overview", "overview")])
def test_it_leads_on(qapp, theme, button, page):
    window = windows.open_window(qapp, fakes.status(), "done", theme)
    getattr(windows.page(window, "donePage"), button).click()
    assert window.page == page
