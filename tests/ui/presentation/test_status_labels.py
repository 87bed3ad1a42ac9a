"""Labels of states, verdicts and origins."""

import pytest

from agent.status import AgentState, ConsentState
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.status_labels import (
    consent_label,
    delivery_label,
    origin_label,
    state_label,
    verdict_label,
)

FORMATTER = PlainFormatter()


def test_every_state_has_a_label_of_its_own():
    assert len({state_label(state, FORMATTER) for state in AgentState}) == len(AgentState) == 7
    assert len({consent_label(state, FORMATTER) for state in ConsentState}) == len(ConsentState)


@pytest.mark.parametrize(
    ("label", "name", "shown"),
    [
        (delivery_label, "acknowledged", "Received"),
        (verdict_label, "not_pe", "Not a Windows program"),
        (origin_label, "policy", "Managed by your organisation"),
    ],
)
def test_a_known_name_has_a_label(label, name, shown):
    assert label(name, FORMATTER) == shown


@pytest.mark.parametrize("label", [delivery_label, verdict_label, origin_label])
def test_a_name_of_a_newer_agent_is_shown_unchanged(label):
    assert label("quarantined", FORMATTER) == "quarantined"
