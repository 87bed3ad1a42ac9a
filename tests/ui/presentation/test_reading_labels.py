"""Readings and processor shares as people write them."""

from dataclasses import replace

import pytest

from agent.conditions.readings import Readings
from agent.status import ReadingView, WorkView
from tests.fakes import agent_client as fakes
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.reading_labels import (
    reading_label,
    share_label,
    unknown_readings,
    work_labels,
)

FORMATTER = PlainFormatter()
WORK = WorkView(25, "", 512, measured_percent=24.8)


def test_a_reading_shows_name_value_and_source():
    label = reading_label(ReadingView("on mains", "yes", "power_supply"), FORMATTER)
    assert (label.name, label.value, label.note, label.is_known) == (
        "Plugged in",
        "yes",
        "read from power_supply",
        True,
    )


def test_an_unknown_reading_shows_the_reason_without_the_name_of_an_exception():
    label = reading_label(ReadingView("metered", "unknown", "no bus: FileNotFoundError"), FORMATTER)
    assert (label.value, label.note, label.is_known) == ("Unknown", "no bus", False)


def test_unknown_readings_are_named_in_one_line():
    labels = [reading_label(reading, FORMATTER) for reading in fakes.status().readings]
    assert (
        unknown_readings(labels, FORMATTER)
        == "Unknown on this computer: temperature, metered network."
    )
    assert unknown_readings(labels[:1], FORMATTER) == ""


def test_a_session_in_use_is_called_so():
    label = reading_label(ReadingView("session active", "yes", "logind"), FORMATTER)
    assert label.name == "You're at the keyboard"


@pytest.mark.parametrize(
    ("value", "shown"),
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
def test_seconds_are_rounded_down_to_minutes_or_hours(value, shown):
    assert reading_label(ReadingView("idle", value, "Mutter"), FORMATTER).value == shown


def test_every_reading_of_the_agent_has_a_name():
    for name, _ in Readings().named():
        assert reading_label(ReadingView(name, "1", "x"), FORMATTER).name != name


def test_a_reading_of_a_newer_agent_is_shown_under_its_own_name():
    assert reading_label(ReadingView("fan speed", "900", "x"), FORMATTER).name == "fan speed"


def test_what_training_may_take_and_takes():
    assert [(label.name, label.value) for label in work_labels(WORK, 8, FORMATTER)] == [
        ("Training may take", share_label(25, 8, FORMATTER)),
        ("Training takes", share_label(25, 8, FORMATTER)),
    ]


def test_without_training_only_the_limit_is_shown():
    idle = replace(WORK, measured_percent=None)
    assert [label.name for label in work_labels(idle, 8, FORMATTER)] == ["Training may take"]
    assert work_labels(None, 8, FORMATTER) == []


def test_suspended_training_says_so():
    assert work_labels(replace(WORK, suspended=True), 8, FORMATTER)[1].note == "standing still"


@pytest.mark.parametrize(
    ("percent", "cores", "shown"),
    [
        (25, 8, "25 % of one core = 3.1 % of this computer"),
        (50, 1, "50 % of one core = 50 % of this computer"),
        (25, 2, "25 % of one core = 12 % of this computer"),
    ],
)
def test_a_share_is_shown_in_both_units(percent, cores, shown):
    assert share_label(percent, cores, FORMATTER) == shown
