"""Nothing trains around a sleep, whether a signal announces it or the clocks show it."""

from agent.conditions.sleep import SETTLE_S, SleepTracker
from agent.reasons import ReasonCode
from tests.fakes.clock import FakeClock


def test_an_awake_machine_gives_no_reason():
    clock = FakeClock()
    sleep = SleepTracker(clock)
    clock.advance(86_400)
    sleep.check_clocks()
    assert sleep.reasons() == ()


def test_an_announced_sleep_counts_until_the_machine_has_settled():
    clock = FakeClock()
    sleep = SleepTracker(clock)
    sleep.announce(is_going_to_sleep=True)
    (reason,) = sleep.reasons()
    assert (reason.code, reason.until) == (ReasonCode.BACKOFF, None)
    clock.sleep_machine(3600)
    sleep.announce(is_going_to_sleep=False)
    (reason,) = sleep.reasons()
    assert (reason.code, reason.until) == (ReasonCode.BACKOFF, clock.now() + SETTLE_S)
    clock.advance(SETTLE_S - 1)
    assert sleep.reasons()
    clock.advance(1)
    assert sleep.reasons() == ()


def test_a_signal_without_news_starts_no_quiet_time():
    sleep = SleepTracker(FakeClock())
    sleep.announce(is_going_to_sleep=False)
    assert sleep.reasons() == ()


def test_a_gap_between_the_clocks_shows_a_sleep_that_was_not_announced():
    clock = FakeClock()
    sleep = SleepTracker(clock)
    clock.sleep_machine(3600)
    sleep.check_clocks()
    assert sleep.reasons()
    clock.advance(SETTLE_S)
    sleep.check_clocks()
    assert sleep.reasons() == ()


def test_a_clock_that_was_set_back_ends_the_quiet_time():
    clock = FakeClock()
    sleep = SleepTracker(clock)
    clock.sleep_machine(3600)
    sleep.check_clocks()
    clock.wall -= 1800
    assert sleep.reasons() == ()
