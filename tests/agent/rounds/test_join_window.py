"""When a device advertises: within the first half of what is left of the window, by the server's
clock.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.rounds.join_window import MAX_LEAD_S, MAX_WINDOW_S, join_window

NOW = 1_800_000_000
LENGTHS = st.integers(1, MAX_WINDOW_S)
DRAWS = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("opens", "closes", "draw", "wait_s", "closes_s"),
    [
        (100, 220, 0.0, 100, 220),
        (100, 220, 0.5, 130, 220),
        (-20, 100, 0.5, 20, 100),
        (-60, 60, 0.5, 0, 60),
        (-100, 20, 0.9, 0, 20),
    ],
    ids=["start", "quarter", "in the first half", "at its middle", "in the second half"],
)
def test_known_windows(opens, closes, draw, wait_s, closes_s):
    found = join_window(NOW + opens, NOW + closes, NOW, draw)
    assert (found.wait_s, found.closes_s) == (wait_s, closes_s)


@given(st.integers(-MAX_WINDOW_S, 10_000), LENGTHS, DRAWS)
def test_a_device_comes_while_the_window_is_open(opens, length, draw):
    found = join_window(NOW + opens, NOW + opens + length, NOW, draw)
    if opens + length <= 0:
        assert found is None
    else:
        assert max(0, opens) <= found.wait_s <= max(opens + length / 2, 0)
        assert found.wait_s < found.closes_s == opens + length


@given(st.integers(0, 10_000), LENGTHS, DRAWS, st.integers(-(10**9), 10**9))
def test_a_wrong_clock_on_the_device_does_not_matter(opens, length, draw, shift):
    """Only differences count, and all three times are the server's."""
    here = join_window(NOW + opens, NOW + opens + length, NOW, draw)
    there = join_window(NOW + shift + opens, NOW + shift + opens + length, NOW + shift, draw)
    assert here.wait_s == pytest.approx(there.wait_s, abs=1e-3)
    assert here.closes_s == there.closes_s


def test_devices_are_spread_evenly_over_the_first_half():
    waits = [join_window(NOW, NOW + 120, NOW, number / 200).wait_s for number in range(200)]
    assert waits == pytest.approx([number * 0.3 for number in range(200)])


def test_no_window_is_announced_by_two_zeros():
    assert join_window(0, 0, NOW, 0.5) is None


@pytest.mark.parametrize("closes", [NOW, NOW - 1])
def test_a_window_that_is_over_is_none(closes):
    assert join_window(closes - 60, closes, NOW, 0.5) is None


@pytest.mark.parametrize(
    ("opens", "closes"),
    [(NOW, NOW), (NOW + 1, NOW), (NOW, NOW + MAX_WINDOW_S + 1), (0, 1000), (0, -5)],
)
def test_p11_a_window_of_an_impossible_length_is_refused(opens, closes):
    with pytest.raises(AegisError) as raised:
        join_window(opens, closes, NOW, 0.5)
    assert raised.value.code == "OFFER_INCONSISTENT"


@pytest.mark.parametrize(("lead", "near"), [(MAX_LEAD_S, True), (MAX_LEAD_S + 1, False)])
def test_a_near_meeting_is_waited_for(lead, near):
    assert join_window(NOW + lead, NOW + lead + 60, NOW, 0.0).is_near is near
