"""Why AegisAI waits, and the way to the setting or page that helps."""

import pytest

from agent.reasons import Reason, ReasonCode
from tests.fakes import agent_client as fakes
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.reason_labels import reason_label


def label(*args, **fields):
    return reason_label(Reason(*args, **fields), PlainFormatter())


def test_every_reason_has_a_title_of_its_own():
    assert len({label(code, "x").title for code in ReasonCode}) == len(ReasonCode)


def test_the_note_holds_reading_source_and_end():
    shown = label(ReasonCode.ON_BATTERY, "x", "64 %", "UPower", "battery.rule", fakes.NOW)
    assert shown.note == "64 % (read from UPower) · until 2026-11-24 16:00"
    assert shown.setting == "battery.rule"


def test_a_reading_without_a_source_stands_alone():
    assert label(ReasonCode.BUSY, "x", "80 %").note == "80 %"


@pytest.mark.parametrize(
    ("reason", "page", "action"),
    [
        (
            Reason(ReasonCode.ON_BATTERY, "x", setting="battery.rule"),
            "limits",
            "Change: Train on battery",
        ),
        (Reason(ReasonCode.NOTHING_TO_LEARN, "x", "0 rows"), "scan", "Add program files"),
        (Reason(ReasonCode.NOT_ENROLLED, "x"), "join", "Enter an invitation"),
        (Reason(ReasonCode.NO_ROUND, "x"), "", ""),
    ],
)
def test_a_reason_links_to_what_removes_it(reason, page, action):
    shown = reason_label(reason, PlainFormatter())
    assert (shown.page, shown.action) == (page, action)


def test_the_agents_own_sentence_is_shown_where_only_it_knows_the_details():
    shown = label(ReasonCode.DENIED_BY_POLICY, "The works council has not agreed yet.")
    assert shown.note == "The works council has not agreed yet."
    assert label(ReasonCode.BUSY, "Other programs are busy.").note == ""


def test_missing_rows_are_not_repeated_as_a_reading():
    assert label(ReasonCode.NOTHING_TO_LEARN, "x", "0 rows", "samples").note == ""
