"""Hours as text: read and written alike, and narrowed by a policy without losing a minute."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conditions.hours import is_open
from agent.config.hours_text import format_hours, minutes_of, within
from agent.config.settings import Settings

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ALWAYS = ("always",) * 7
TIMES = st.tuples(st.integers(0, 24), st.sampled_from([0, 1, 30, 59])).filter(
    lambda time: time <= (24, 0)
)
SPANS = (
    st.tuples(TIMES, TIMES)
    .filter(lambda span: span[0] != span[1])
    .map(lambda span: "-".join(f"{hour:02d}:{minute:02d}" for hour, minute in span))
)
TEXTS = st.sampled_from(["always", "never"]) | st.lists(SPANS, min_size=1, max_size=3).map(",".join)
DAYTIMES = st.frozensets(st.integers(0, 24 * 60 - 1), max_size=20).map(format_hours)
WEEKS = st.tuples(*[TEXTS] * 7)
MONDAY = datetime(2026, 11, 30)


def at(minute):
    """Local time, in minutes since Monday's midnight."""
    return MONDAY + timedelta(minutes=minute)


@given(TEXTS)
def test_writing_what_was_read_keeps_every_minute(text):
    assert minutes_of(format_hours(minutes_of(text))) == minutes_of(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("00:00-12:00,12:00-06:00", "00:00-24:00,24:00-06:00"),
        ("06:00-18:00,18:00-06:00", "06:00-24:00,24:00-06:00"),
        ("22:00-24:00,24:00-06:00", "22:00-06:00"),
        ("00:00-24:00", "always"),
    ],
)
def test_more_than_a_day_in_a_row_is_written_as_two_spans(text, written):
    assert format_hours(minutes_of(text)) == written


@given(WEEKS, WEEKS, st.lists(st.integers(0, 7 * 24 * 60 - 1), min_size=1, max_size=40))
def test_p3_training_is_allowed_when_both_weeks_allow_it(chosen, allowed, minutes):
    both = within(chosen, allowed)
    for minute in minutes:
        expected = is_open(chosen, at(minute)) and is_open(allowed, at(minute))
        assert is_open(both, at(minute)) is expected, at(minute)


@given(st.lists(DAYTIMES, min_size=7, max_size=7).map(tuple))
def test_a_policy_that_allows_everything_leaves_a_daytime_as_it_is(chosen):
    assert within(chosen, ALWAYS) == within(ALWAYS, chosen) == chosen


def test_hours_of_a_policy_over_midnight_keep_their_morning():
    settings = Settings({}, {f"hours.{day}": "18:00-08:00" for day in DAYS})
    assert [settings.text(f"hours.{day}") for day in DAYS] == ["00:00-08:00,18:00-24:00"] * 7
    entry = settings.entry("hours.monday")
    assert (entry.origin, entry.bound) == ("policy", "18:00-08:00")


def test_a_night_within_the_policys_night_stays_as_it_is():
    settings = Settings(
        {"hours.monday": "22:00-06:00"}, {f"hours.{day}": "18:00-08:00" for day in DAYS}
    )
    assert (settings.text("hours.monday"), settings.entry("hours.monday").origin) == (
        "22:00-06:00",
        "you",
    )
    assert settings.check_change("hours.monday", "20:00-07:00") == "20:00-07:00"


def test_a_day_that_the_policy_forbids_ends_the_night_before_at_midnight():
    settings = Settings({"hours.monday": "22:00-06:00"}, {"hours.tuesday": "never"})
    assert (settings.text("hours.monday"), settings.entry("hours.monday").origin) == (
        "22:00-24:00",
        "policy",
    )
    assert settings.text("hours.tuesday") == "never"


def test_a_morning_that_only_the_next_day_allows_moves_there():
    week = ("22:00-06:00", *["never"] * 6)
    allowed = ("never", "01:00-24:00", *["always"] * 5)
    assert within(week, allowed) == ("never", "01:00-06:00", *["never"] * 5)
