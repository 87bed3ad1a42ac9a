"""Allowed hours in local time: midnight, weekdays, and the two nights on which clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conditions.hours import is_open, opens_at

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = ("22:00-06:00",) * 7
OFFICE = ("09:00-17:00",) * 5 + ("never",) * 2


def at(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("week", "when", "expected"),
    [
        (OFFICE, "2026-11-27T08:59", False),
        (OFFICE, "2026-11-27T09:00", True),
        (OFFICE, "2026-11-27T17:00", False),
        (OFFICE, "2026-11-28T12:00", False),
        (NIGHT, "2026-11-27T22:00", True),
        (NIGHT, "2026-11-28T05:59", True),
        (NIGHT, "2026-11-28T06:00", False),
        (("never",) * 4 + ("22:00-06:00",) + ("never",) * 2, "2026-11-28T03:00", True),
        (("never",) * 4 + ("22:00-06:00",) + ("never",) * 2, "2026-11-27T03:00", False),
        (("always",) * 7, "2026-11-27T03:00", True),
    ],
)
def test_a_local_time_is_allowed_by_its_days_hours(week, when, expected):
    assert is_open(week, at(when)) is expected


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27T18:00", "2026-11-30T09:00"),
        ("2026-11-30T08:59", "2026-11-30T09:00"),
        ("2026-11-30T10:00", "2026-11-30T10:00"),
    ],
)
def test_the_next_allowed_time_is_now_or_a_later_opening(now, opens):
    assert opens_at(OFFICE, int(at(now).timestamp()), BERLIN) == int(at(opens).timestamp())


def test_a_span_that_begins_in_the_skipped_hour_opens_after_it():
    week = ("02:30-04:00",) * 7
    now = int(at("2026-03-29T01:00").timestamp())
    assert (
        datetime.fromtimestamp(opens_at(week, now, BERLIN), UTC)
        .astimezone(BERLIN)
        .strftime("%H:%M")
        == "03:00"
    )


def test_hours_that_are_never_allowed_have_no_next_time():
    assert opens_at(("never",) * 7, 1_800_000_000, BERLIN) is None


@settings(max_examples=30)
@given(
    st.integers(1_767_225_600, 1_798_761_600),
    st.sampled_from([OFFICE, NIGHT, ("02:15-02:45",) * 7]),
)
def test_the_next_allowed_time_is_allowed_and_the_minute_before_is_not(now, week):
    opens = opens_at(week, now, BERLIN)
    assert opens >= now
    assert is_open(week, datetime.fromtimestamp(opens, UTC).astimezone(BERLIN))
    if opens - now > 60:
        assert not is_open(week, datetime.fromtimestamp(opens - 60, UTC).astimezone(BERLIN))
