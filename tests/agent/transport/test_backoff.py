"""The wait after failures grows, is jittered, and is never shorter than the server asked for."""

from hypothesis import given
from hypothesis import strategies as st

from agent.transport.backoff import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    OFFLINE_BUDGET,
    SPARSE_WAIT_S,
    backoff_s,
)


def test_the_wait_doubles_up_to_an_hour_and_then_becomes_sparse():
    assert [backoff_s(failures, 0.5) for failures in (1, 2, 3)] == [30, 60, 120]
    assert backoff_s(10, 0.5) == LONGEST_WAIT_S
    assert backoff_s(OFFLINE_BUDGET, 0.5) == LONGEST_WAIT_S
    assert backoff_s(OFFLINE_BUDGET + 1, 0.5) == SPARSE_WAIT_S
    assert backoff_s(10**6, 0.5) == SPARSE_WAIT_S


def test_jitter_spreads_the_wait_between_half_and_one_and_a_half():
    assert backoff_s(1, 0.0) == FIRST_WAIT_S / 2
    assert backoff_s(1, 0.999) < 1.5 * FIRST_WAIT_S


@given(
    failures=st.integers(1, 10**6),
    draw=st.floats(0, 1, exclude_max=True),
    retry_after_s=st.integers(-(10**6), 10**6),
)
def test_the_wait_is_never_shorter_than_the_server_asked_for(failures, draw, retry_after_s):
    wait_s = backoff_s(failures, draw, retry_after_s)
    assert wait_s >= max(retry_after_s, 0) + FIRST_WAIT_S / 2
    assert wait_s <= max(retry_after_s, 0) + 1.5 * SPARSE_WAIT_S
