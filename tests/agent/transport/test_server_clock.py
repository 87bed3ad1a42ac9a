"""The server's time, and errors that this computer's clock explains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PeerError, UserActionError
from agent.transport.server_clock import CAUSES, MAX_OFFSET_S, ServerClock, in_words
from tests.fakes.clock import FakeClock

NOW = 1_800_000_000
DAY_S = 86_400


def noted(offset_s):
    """A clock that is `offset_s` ahead of the server's, after an answer."""
    clock = FakeClock(NOW + offset_s)
    server_clock = ServerClock(clock)
    server_clock.note(NOW)
    return clock, server_clock


def test_before_the_first_answer_nothing_is_known():
    clock = FakeClock(NOW)
    server_clock = ServerClock(clock)
    assert (server_clock.now(), server_clock.offset_s()) == (None, None)
    assert server_clock.now_or_local() == NOW
    server_clock.check()


@given(
    offset=st.integers(-(10**9), 10**9), waited=st.integers(0, 10**6), slept=st.integers(0, 10**6)
)
def test_it_carries_on_through_sleep_and_whatever_the_clock_is_set_to(offset, waited, slept):
    clock, server_clock = noted(offset)
    clock.advance(waited)
    clock.sleep_machine(slept)
    clock.set(-12_345)
    assert server_clock.now() == NOW + waited + slept
    assert server_clock.offset_s() == offset - 12_345


def test_a_date_header_is_read_and_anything_else_ignored():
    clock = FakeClock(NOW)
    server_clock = ServerClock(clock)
    for header in ("", "yesterday", "Fri, 99 Jan 2027 08:00:00 GMT"):
        server_clock.note_date(header)
    assert server_clock.now() is None
    server_clock.note_date("Fri, 15 Jan 2027 08:00:00 GMT")
    assert server_clock.now() == NOW


@pytest.mark.parametrize("offset_s", [-(10**9), -DAY_S, -MAX_OFFSET_S, MAX_OFFSET_S, 40 * DAY_S])
def test_a_clock_that_is_a_day_off_takes_no_part(offset_s):
    with pytest.raises(UserActionError) as raised:
        noted(offset_s)[1].check()
    assert raised.value.code == "CLOCK_WRONG"


@pytest.mark.parametrize("offset_s", [-14 * 3600, -1800, 0, 1800, 14 * 3600])
def test_a_clock_that_is_hours_off_takes_part(offset_s):
    server_clock = noted(offset_s)[1]
    server_clock.check()
    assert server_clock.offset_s() == offset_s


@pytest.mark.parametrize(
    ("code", "offset_s", "explains"),
    [
        ("MODEL_EXPIRED", 5 * 3600, False),
        ("MODEL_EXPIRED", 7 * 3600, True),
        ("MODEL_EXPIRED", -7 * 3600, False),
        ("REVOCATIONS_EXPIRED", -700, True),
        ("REVOCATIONS_EXPIRED", 0, False),
        ("ROSTER_CERTIFICATE", -1800, True),
        ("REVOKED", 40 * DAY_S, False),
        ("TOKEN_EXPIRED", 40 * DAY_S, False),
    ],
)
def test_only_what_a_wrong_clock_can_cause_is_explained_by_it(code, offset_s, explains):
    error = PeerError(code, "It failed.", "Ask for a new invitation.")
    explained = noted(offset_s)[1].explained(error)
    assert (explained.code == "CLOCK_WRONG") is explains
    assert explains or explained is error


def test_without_an_answer_no_error_is_explained():
    server_clock = ServerClock(FakeClock(NOW))
    for code in CAUSES:
        error = PeerError(code, "It failed.", "")
        assert server_clock.explained(error) is error


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (30, "1 minutes"),
        (1800, "30 minutes"),
        (7199, "2 hours"),
        (DAY_S, "24 hours"),
        (40 * DAY_S, "40 days"),
        (3650 * DAY_S, "10 years"),
    ],
)
def test_lengths_of_time_in_words(seconds, words):
    assert in_words(seconds) == words
