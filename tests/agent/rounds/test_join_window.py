"""A device advertises at random in the first half of a join window, by the server's clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PeerError
from agent.rounds.join_window import MAX_LEAD_S, MAX_WINDOW_S, JoinWindow, join_window

TIMES = st.integers(1, 2**40)
DRAWS = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("opens", "closes", "now", "draw", "wait_s", "closes_s"),
    [
        (1000, 1060, 1000, 0.0, 0, 60),
        (1000, 1060, 1000, 0.5, 15, 60),
        (1100, 1160, 1000, 0.0, 100, 160),
        (1100, 1160, 1000, 0.5, 115, 160),
        (1000, 1060, 1010, 0.5, 10, 50),
        (1000, 1060, 1030, 0.9, 0, 30),
        (1000, 1060, 1059, 0.9, 0, 1),
    ],
    ids=["opens", "opens, later", "ahead", "ahead, later", "open", "second half", "last second"],
)
def test_known_windows(opens, closes, now, draw, wait_s, closes_s):
    assert join_window(opens, closes, now, draw) == JoinWindow(wait_s, closes_s)


@given(opens=TIMES, length=st.integers(1, MAX_WINDOW_S), ago=st.integers(-5000, 0), draw=DRAWS)
def test_a_device_advertises_while_the_window_is_open(opens, length, ago, draw):
    now, closes = opens + ago, opens + length
    window = join_window(opens, closes, now, draw)
    assert max(0, opens - now) <= window.wait_s <= (opens + closes) / 2 - now
    assert window.closes_s == closes - now
    assert window.wait_s < window.closes_s


@given(
    opens=st.integers(0, 10_000),
    length=st.integers(1, MAX_WINDOW_S),
    draw=DRAWS,
    shift=st.integers(1, 10**9),
)
def test_a_wrong_clock_on_this_device_does_not_matter(opens, length, draw, shift):
    """Only differences count, and all three times are the server's."""
    window = join_window(1 + opens, 1 + opens + length, 1, draw)
    shifted = join_window(shift + opens, shift + opens + length, shift, draw)
    assert window.wait_s == pytest.approx(shifted.wait_s, abs=1e-3)
    assert window.closes_s == shifted.closes_s


def test_devices_are_spread_evenly_over_the_first_half():
    waits = [join_window(1000, 1120, 1000, number / 200).wait_s for number in range(200)]
    assert waits == pytest.approx([number * 0.3 for number in range(200)])


@given(opens=TIMES, length=st.integers(1, MAX_WINDOW_S), late=st.integers(0, 10**6), draw=DRAWS)
def test_a_window_that_is_over_is_none(opens, length, late, draw):
    assert join_window(opens, opens + length, opens + length + late, draw) is None


def test_no_window_is_announced_by_two_zeros():
    assert join_window(0, 0, 1000, 0.5) is None


@pytest.mark.parametrize(
    ("opens", "closes"),
    [(1000, 1000), (1000, 999), (1000, 1001 + MAX_WINDOW_S), (1000, 0), (0, 10**9), (1000, -5)],
)
def test_p11_a_window_of_an_impossible_length_is_refused(opens, closes):
    with pytest.raises(PeerError) as raised:
        join_window(opens, closes, 1000, 0.5)
    assert raised.value.code == "OFFER_INCONSISTENT"


@pytest.mark.parametrize(
    ("wait_s", "is_near"), [(0, True), (MAX_LEAD_S, True), (MAX_LEAD_S + 0.1, False)]
)
def test_a_cycle_waits_for_a_near_window_only(wait_s, is_near):
    assert JoinWindow(wait_s, wait_s + 60).is_near is is_near
