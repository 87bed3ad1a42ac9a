"""When cycles run: spread over a fleet, backed off after faults, once after sleep."""

import itertools
import random
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import slept
from agent.daemon.scheduler import (
    GIVE_UP_AFTER,
    LIFT_S,
    MAX_POLL_S,
    MIN_POLL_S,
    READY_PATIENCE_S,
    READY_POLL_S,
    SETTLE_S,
    SPREAD_S,
    History,
    after_change,
    after_clock_set,
    after_cycle,
    after_fault,
    after_joining,
    after_lift,
    after_wake,
    gave_up,
    next_at,
)
from agent.reasons import Reason, ReasonCode
from agent.rounds.outcome import USER_RESOLVABLE, CycleResult, Outcome

NOW = 1_800_000_000
DRAWS = st.floats(0, 1, exclude_max=True)
NO_ROUND = CycleResult(Outcome.NO_ROUND, "")


def test_the_agent_asks_for_offers_every_half_hour_give_or_take_half():
    history = after_cycle(History(NOW - 9000), NO_ROUND, NOW, NOW)
    waits = [next_at(history, draw / 1000) - NOW for draw in range(1000)]
    assert (min(waits), max(waits)) == (900, 2698)
    assert abs(statistics.mean(waits) - 1800) < 5
    assert len(set(waits)) > 900


@given(poll=st.integers(0, 10**9), draw=DRAWS)
def test_the_server_may_lengthen_but_never_below_five_minutes(poll, draw):
    history = after_cycle(
        History(NOW - 9000), CycleResult(Outcome.SENT, "", next_poll_s=poll), NOW, NOW
    )
    assert MIN_POLL_S <= next_at(history, draw) - NOW <= 1.5 * 24 * 3600


@given(draw=DRAWS, last=st.none() | st.integers(NOW - 10**6, NOW), faults=st.integers(0, 40))
def test_never_within_two_minutes_of_start_or_waking(draw, last, faults):
    history = after_wake(History(NOW - 10**6, last, faults), NOW)
    assert next_at(history, draw) >= NOW + SETTLE_S


@given(faults=st.integers(1, 200), draw=DRAWS)
def test_faults_back_off_within_a_working_day(faults, draw):
    history = History(NOW - 9000, NOW, faults - 1)
    wait = next_at(after_fault(history, NOW), draw) - NOW
    assert 15 <= wait <= 9 * 3600


def test_the_backoff_grows_and_a_success_ends_it():
    history, waits = History(NOW - 9000), []
    for _ in range(6):
        history = after_fault(history, NOW)
        waits.append(next_at(history, 0.999) - NOW)
    assert waits == sorted(set(waits))
    assert after_cycle(history, NO_ROUND, NOW, NOW).faults == 0


def test_a_fault_keeps_the_servers_retry_after():
    assert next_at(after_fault(History(NOW - 9000), NOW, retry_after_s=7200), 0.0) == NOW + 7200


def test_a_cycle_runs_when_a_known_wait_ends():
    waiting = CycleResult(Outcome.WAITING, "", (Reason(ReasonCode.HOLD, "", until=NOW + 600),))
    assert next_at(after_cycle(History(NOW - 9000), waiting, NOW, NOW), 0.5) == NOW + 600
    far = CycleResult(
        Outcome.BUDGET_SPENT, "", (Reason(ReasonCode.BUDGET_SPENT, "", until=NOW + 10**8),)
    )
    assert next_at(after_cycle(History(NOW - 9000), far, NOW, NOW), 0.5) == NOW + 24 * 3600


def test_an_exclusion_is_asked_about_at_the_usual_pace_because_rounds_may_end_it_sooner():
    excluded = (Reason(ReasonCode.EXCLUDED, "", until=NOW + 20 * 3600),)
    history = after_cycle(History(NOW - 9000), CycleResult(Outcome.WAITING, "", excluded), NOW, NOW)
    assert next_at(history, 0.5) == next_at(
        after_cycle(History(NOW - 9000), NO_ROUND, NOW, NOW), 0.5
    )


def test_sleep_differs_from_time_awake_and_from_a_clock_set_back():
    assert slept(NOW, 10.0, NOW + 7200, 20.0)
    assert not slept(NOW, 10.0, NOW + 60, 70.0)
    assert not slept(NOW, 10.0, NOW - 7200, 20.0)


def test_a_ready_device_keeps_the_servers_pace_for_a_while_and_never_a_frantic_one():
    ready = CycleResult(Outcome.READY, "", next_poll_s=20)
    history = after_cycle(History(0), ready, 10_000, 10_000)
    assert next_at(history, 0.9) == 10_020
    frantic = after_cycle(history, CycleResult(Outcome.READY, "", next_poll_s=0), 10_020, 10_020)
    assert next_at(frantic, 0.0) >= 10_020 + MIN_POLL_S  # nothing was asked for: the usual pace
    frantic = after_cycle(history, CycleResult(Outcome.READY, "", next_poll_s=1), 10_020, 10_020)
    assert next_at(frantic, 0.0) == 10_020 + READY_POLL_S
    late = after_cycle(history, ready, 10_000 + READY_PATIENCE_S, 10_000 + READY_PATIENCE_S)
    assert next_at(late, 0.0) >= 10_000 + READY_PATIENCE_S + MIN_POLL_S
    assert after_cycle(late, CycleResult(Outcome.SENT, ""), 20_000, 20_000).ready_since is None


def test_a_ready_device_returns_when_its_group_meets():
    waiting = Reason(ReasonCode.NO_ROUND, "", until=10_400)
    history = after_cycle(
        History(0), CycleResult(Outcome.READY, "", (waiting,), next_poll_s=20), 10_000, 10_000
    )
    assert next_at(history, 0.5) == 10_400


def test_a_thousand_agents_started_together_do_not_ask_together():
    draw = random.Random(7).random
    starts = [next_at(History(NOW), draw()) for _ in range(1000)]
    assert min(starts) >= NOW + SETTLE_S
    assert max(starts) - min(starts) > 100
    assert max(Counter(starts).values()) < 30
    closed = CycleResult(
        Outcome.WAITING, "", (Reason(ReasonCode.OUTSIDE_HOURS, "", until=NOW + 3600),)
    )
    morning = [
        next_at(after_cycle(History(NOW - 9000), closed, NOW, NOW), draw()) for _ in range(1000)
    ]
    assert min(morning) >= NOW + 3600
    assert max(morning) - min(morning) > 0.9 * SPREAD_S


def test_after_five_faults_of_the_worker_the_agent_stops_trying_for_a_day():
    history = History(NOW - 9000)
    for attempt in range(GIVE_UP_AFTER):
        assert not gave_up(history), attempt
        history = after_fault(history, NOW, of_worker=True)
    assert gave_up(history)
    assert next_at(history, 0.5) == NOW + MAX_POLL_S
    assert not gave_up(after_fault(history, NOW))
    assert not gave_up(after_cycle(history, NO_ROUND, NOW, NOW))


def test_a_condition_that_lifts_brings_the_next_cycle_soon_once():
    waiting = CycleResult(Outcome.WAITING, "", (Reason(ReasonCode.ON_BATTERY, ""),))
    history = after_cycle(History(NOW - 9000), waiting, NOW, NOW)
    lifted = after_lift(history, NOW + 100)
    assert NOW + 100 + LIFT_S <= next_at(lifted, 0.999) < NOW + 100 + 2 * LIFT_S
    assert after_lift(lifted, NOW + 101) == lifted
    failed = after_fault(history, NOW)
    assert after_lift(failed, NOW + 100) == failed  # the back-off stays
    assert (
        after_lift(after_cycle(History(NOW - 9000), NO_ROUND, NOW, NOW), NOW + 100).not_before
        is None
    )


@given(slept_s=st.integers(600, 10**6), draw=DRAWS)
def test_p10_after_a_sleep_of_any_length_one_cycle_runs(slept_s, draw):
    history = after_cycle(History(NOW - 9000), NO_ROUND, NOW, NOW)
    woken = NOW + slept_s
    history = after_wake(history, woken)
    due = next_at(history, draw)
    assert due >= woken + SETTLE_S
    assert next_at(after_cycle(history, NO_ROUND, due, due), draw) >= due + MIN_POLL_S


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.value)
def test_what_a_person_changes_brings_the_next_cycle_soon_and_never_delays_it(outcome):
    reason = Reason(ReasonCode.USER_PAUSED, "x", until=NOW + 8 * 3600)
    history = after_cycle(History(NOW - 3600), CycleResult(outcome, "x", (reason,)), NOW, NOW)
    once = after_change(history, NOW + 100)
    is_soon = next_at(once, 0.5) <= NOW + 100 + 2 * LIFT_S
    assert is_soon is (outcome in USER_RESOLVABLE)
    assert next_at(after_change(once, NOW + 110), 0.5) == next_at(once, 0.5)


def test_joining_and_agreeing_registers_at_once_and_a_fault_then_backs_off():
    joined = after_joining(History(NOW))
    assert next_at(joined, 0.9) <= NOW
    assert next_at(after_cycle(joined, NO_ROUND, NOW, NOW), 0.9) >= NOW + SETTLE_S
    assert next_at(after_fault(joined, NOW), 0.9) >= NOW + SETTLE_S


def test_a_clock_that_is_set_right_leads_to_a_cycle_soon():
    failed = after_fault(after_cycle(History(NOW - 9000), NO_ROUND, NOW, NOW), NOW, 3600)
    later = NOW + 2000
    assert next_at(failed, 0.5) > later
    righted = after_clock_set(failed, later)
    assert 0 < next_at(righted, 0.5) - later <= LIFT_S


@given(sets=st.lists(st.integers(1, 400), min_size=1, max_size=50), draw=DRAWS)
def test_a_clock_that_is_set_again_and_again_causes_no_storm_of_requests(sets, draw):
    history, now, cycles = after_cycle(History(NOW - 9000), NO_ROUND, NOW, NOW), NOW, [NOW]
    for pause in sets:
        now += pause
        history = after_clock_set(history, now)
        if next_at(history, draw) <= now + pause:
            now = max(now, next_at(history, draw))
            history = after_cycle(history, NO_ROUND, now, now)
            cycles.append(now)
    assert all(later - earlier >= MIN_POLL_S for earlier, later in itertools.pairwise(cycles))


def test_the_end_of_a_wait_is_a_time_of_day_and_the_wait_is_not():
    waiting = CycleResult(Outcome.WAITING, "", (Reason(ReasonCode.HOLD, "", until=NOW + 600),))
    assert next_at(after_cycle(History(0), waiting, 5000, NOW), 0.5) == 5600
