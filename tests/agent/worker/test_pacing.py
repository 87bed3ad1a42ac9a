"""The worker's own pace keeps within its share and never asks the governor to step in."""

import pytest

from agent.supervisor import cpu_meter
from agent.worker import pacing
from agent.worker.pacing import MAX_SLEEP_S, Pace


class Clock:
    """Time and processor time that move only when a test moves them."""

    def __init__(self):
        self.now = self.cpu = 0.0
        self.slept = []

    def work(self, seconds):
        self.now += seconds
        self.cpu += seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def pace_on(clock, cpu_percent, oversleep_s=0.0):
    return Pace(
        cpu_percent,
        used=lambda: clock.cpu,
        now=lambda: clock.now,
        sleep=lambda seconds: clock.sleep(seconds + oversleep_s),
    )


@pytest.mark.parametrize("percent", [1, 5, 25, 50, 100])
def test_pace_stays_within_its_share(percent):
    clock = Clock()
    pace = pace_on(clock, percent)
    for _ in range(500):
        clock.work(0.005)
        pace.after_step()
    assert clock.cpu / clock.now == pytest.approx(percent / 100, abs=0.01)
    assert clock.cpu / clock.now <= percent / 100


def test_pace_makes_up_for_sleeping_too_long():
    clock = Clock()
    pace = pace_on(clock, 50, oversleep_s=0.002)
    for _ in range(500):
        clock.work(0.02)
        pace.after_step()
    assert clock.cpu / clock.now == pytest.approx(0.5, abs=0.005)


def test_pace_saves_no_idle_time_for_a_burst():
    clock = Clock()
    pace = pace_on(clock, 25)
    clock.now += 3600
    pace.after_step()
    before = clock.now
    for _ in range(10):
        clock.work(0.02)
        pace.after_step()
    assert 10 * 0.02 / (clock.now - before) <= 0.28


def test_pace_never_sleeps_longer_than_its_bound_and_skips_tiny_sleeps():
    clock = Clock()
    pace = pace_on(clock, 1)
    clock.work(10.0)
    pace.after_step()
    assert clock.slept == [MAX_SLEEP_S]
    clock = Clock()
    pace = pace_on(clock, 50)
    clock.work(0.001)
    pace.after_step()
    assert clock.slept == []


def test_a_new_limit_holds_from_the_next_step_on():
    clock = Clock()
    pace = pace_on(clock, 50)
    clock.work(0.1)
    pace.after_step()
    pace.set_limit(10)
    before, used = clock.now, clock.cpu
    for _ in range(200):
        clock.work(0.01)
        pace.after_step()
    assert (clock.cpu - used) / (clock.now - before) == pytest.approx(0.1, abs=0.01)


def test_the_governor_forgives_what_the_pace_makes_up_for():
    """Neither layer imports the other, so this test holds their constants together."""
    assert pacing.CREDIT_CAP_S <= cpu_meter.CREDIT_CAP_S
    assert pacing.MIN_SLEEP_S <= cpu_meter.MIN_SLICE_S
    assert 0 < pacing.MARGIN < 0.01
