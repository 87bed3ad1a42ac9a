"""What is said of a Status, without a single widget."""

import subprocess
import sys
from dataclasses import replace

import pytest

from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, ConsentState, ReadingView, WorkView
from tests.fakes import agent_client as fakes
from tests.ui.plain_formatter import PlainWords
from ui.presentation.locale_formatter import counted
from ui.presentation.reading_labels import reading_text, unknown_line, work_texts
from ui.presentation.setting_labels import setting_words
from ui.presentation.view_model import (
    origin_word,
    reason_text,
    sending_word,
    share_text,
    state_word,
    verdict_word,
    view_of,
)

WORDS = PlainWords()


def test_it_needs_no_qt():
    script = (
        "import sys, ui.presentation.view_model; sys.exit(any(name.startswith('PySide6') for name in"
        " sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_state_has_a_word_of_its_own():
    assert len({state_word(state, WORDS) for state in AgentState}) == len(AgentState) == 7


def test_every_reason_has_a_title_of_its_own():
    titles = {reason_text(Reason(code, "x"), WORDS).title for code in ReasonCode}
    assert len(titles) == len(ReasonCode)


def test_a_reason_tells_reading_source_and_end():
    told = reason_text(
        Reason(ReasonCode.ON_BATTERY, "x", "64 %", "UPower", "battery.rule", fakes.NOW), WORDS
    )
    assert told.note == "64 % (read from UPower) · until 2026-11-24 16:00"
    assert told.setting == "battery.rule"


def test_a_reason_names_the_setting_that_lifts_it_or_the_page():
    told = reason_text(Reason(ReasonCode.ON_BATTERY, "x", setting="battery.rule"), WORDS)
    assert (told.page, told.way_out) == ("limits", "Change: Train on battery")
    told = reason_text(Reason(ReasonCode.NOTHING_TO_LEARN, "x"), WORDS)
    assert (told.page, told.way_out) == ("scan", "Add program files")
    told = reason_text(Reason(ReasonCode.NO_ROUND, "x"), WORDS)
    assert (told.page, told.way_out) == ("", "")


def test_every_setting_that_lifts_a_reason_has_a_name():
    from agent.config.settings import DEFINITIONS

    assert set(setting_words(WORDS)) == {each.key for each in DEFINITIONS} - {
        "key_store",
        "budget.delta",
    }


def test_readings_are_told_in_words_and_what_cannot_be_told_in_one_line():
    texts = [reading_text(reading, WORDS) for reading in fakes.status().readings]
    assert (texts[0].name, texts[0].value, texts[0].note) == (
        "Plugged in",
        "yes",
        "read from power_supply",
    )
    assert texts[-1].note == "no bus"
    assert (
        unknown_line(texts, WORDS)
        == "Cannot be told on this computer: temperature, metered network."
    )
    assert unknown_line(texts[:1], WORDS) == ""


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("0 s", "0 s"),
        ("59 s", "59 s"),
        ("60 s", "1 min"),
        ("720 s", "12 min"),
        ("7199 s", "119 min"),
        ("17382 s", "4 h"),
        ("odd s", "odd s"),
    ],
)
def test_how_long_the_computer_was_not_used_is_told_as_people_tell_it(told, shown):
    assert reading_text(ReadingView("idle", told, "Mutter"), WORDS).value == shown


def test_what_training_may_take_and_takes_is_told_in_both_units():
    work = WorkView(25, "", 512, measured_percent=24.8)
    texts = [(each.name, each.value) for each in work_texts(work, 8, WORDS)]
    assert texts == [
        ("Training may take", share_text(25, 8, WORDS)),
        ("Training takes", share_text(25, 8, WORDS)),
    ]
    assert [each.name for each in work_texts(replace(work, measured_percent=None), 8, WORDS)] == [
        "Training may take"
    ]
    assert work_texts(replace(work, held=True), 8, WORDS)[1].note == "standing still"
    assert work_texts(None, 8, WORDS) == []


def test_every_reading_of_the_agent_has_a_name():
    from agent.conditions.readings import Readings

    for name, _ in Readings().named():
        assert reading_text(ReadingView(name, "1", "x"), WORDS).name != name


def test_the_budget_is_told_in_plain_words():
    budget = view_of(fakes.status(), WORDS).budget
    assert budget.headline == "34 % of the budget for 365 days is used."
    assert budget.meaning.endswith(
        "When it is used up, this device stops taking part by itself, until 2027-10-15 16:00."
    )
    spent = view_of(
        fakes.status(budget=replace(fakes.status().budget, may_take_part_at=fakes.NOW)), WORDS
    ).budget
    assert spent.headline.startswith("Used up.")
    assert "Until then nothing is trained or sent" in spent.meaning


@pytest.mark.parametrize(("count", "told"), [(0, "0 files"), (1, "one file"), (2, "2 files")])
def test_one_and_many_are_told_apart(count, told):
    assert counted(count, "one file", "{count} files") == told


def test_the_agents_own_words_stand_in_where_it_knows_more():
    told = reason_text(
        Reason(ReasonCode.DENIED_BY_POLICY, "The works council has not agreed yet."), WORDS
    )
    assert "works council" in told.note


def test_without_an_agent_nothing_is_claimed():
    view = view_of(None, WORDS)
    assert (view.headline, view.state) == ("Not running", AgentState.OFF)
    assert view.budget is None
    menu = view.menu
    assert [menu.can_pause, menu.can_resume, menu.can_run_once, menu.can_decide] == [False] * 4


def test_the_first_reason_is_the_headline_and_the_tooltip():
    view = view_of(fakes.waiting(), WORDS)
    assert view.detail == "The computer runs on battery"
    assert view.tooltip == "AegisAI – Waiting – The computer runs on battery"
    assert view.menu.first_line == "The computer runs on battery"


@pytest.mark.parametrize(
    ("until", "told"),
    [(0, "Until you resume"), (fakes.NOW + 900, "Until 2026-11-24 16:15")],
    ids=["open", "fixed time"],
)
def test_a_pause_tells_its_end(until, told):
    view = view_of(fakes.status(AgentState.PAUSED, paused_until=until), WORDS)
    assert view.detail == told
    assert (view.menu.can_pause, view.menu.can_resume) == (False, True)


def test_while_waiting_for_nothing_the_next_look_is_told():
    assert view_of(fakes.status(), WORDS).detail == "Looks for a round at 2026-11-24 16:30"


@pytest.mark.parametrize("state", ConsentState)
def test_the_switch_says_what_it_does(state):
    view = view_of(fakes.status(consent=state), WORDS)
    granted = state is ConsentState.GRANTED
    assert view.menu.consent_text == ("Stop contributing" if granted else "Contribute…")
    assert view.contributes is granted
    assert view.is_asked is (state in (ConsentState.UNASKED, ConsentState.STALE))
    assert view.consent


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
def test_run_now_is_offered_for_the_persons_own_limits_only(code, possible):
    assert view_of(fakes.status(reasons=(Reason(code, "x"),)), WORDS).menu.can_run_once is possible


def test_the_budget_in_plain_words():
    told = view_of(fakes.waiting(), WORDS).budget
    assert told.headline == "34 % of the budget for 365 days is used."
    assert told.figures == "ε = 0.34 of 1.00, at δ = 1/100000"
    assert told.share == pytest.approx(0.34)
    assert "whole life: ε = 0.34 of at most 3.00" in told.lifetime


def test_a_spent_budget_says_when_there_is_room_again():
    spent = replace(fakes.status().budget, epsilon_ledger=1.3, may_take_part_at=fakes.NOW)
    told = view_of(fakes.status(budget=spent), WORDS).budget
    assert told.share == 1.0
    assert told.headline == "Used up. This device may take part again on 2026-11-24 16:00."


def test_a_budget_of_nothing_is_full():
    none = replace(fakes.status().budget, epsilon_period=0.0)
    assert view_of(fakes.status(budget=none), WORDS).budget.share == 1.0


def test_a_demonstration_model_is_called_one():
    view = view_of(fakes.new_home(), WORDS)
    assert "not for protection" in view.model
    assert "None yet" in view.samples


@pytest.mark.parametrize(
    ("percent", "cores", "told"),
    [
        (25, 8, "25 % of one core = 3.1 % of this computer"),
        (50, 1, "50 % of one core = 50 % of this computer"),
        (25, 2, "25 % of one core = 12 % of this computer"),
    ],
)
def test_a_share_in_both_units(percent, cores, told):
    assert share_text(percent, cores, WORDS) == told


@pytest.mark.parametrize("word", [sending_word, verdict_word, origin_word])
def test_an_unknown_name_is_shown_as_it_is(word):
    assert word("of tomorrow", WORDS) == "of tomorrow"
