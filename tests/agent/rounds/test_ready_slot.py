"""When a device says ready tells the server nothing about how long it trained."""

import random

import pytest
from scipy.stats import ks_2samp

from agent.rounds.outcome import Outcome
from agent.rounds.ready_slot import SLOT_S, ready_at

HOLD_S = 600
BEGUN = 1_800_000_000


def times(duration_s, seed, count=2000):
    draw = random.Random(seed).random
    return [ready_at(BEGUN, BEGUN + duration_s, HOLD_S, draw()) - BEGUN for _ in range(count)]


@pytest.mark.parametrize("longer_s", [60, 900, SLOT_S])
def test_p6_the_times_of_a_short_and_a_longer_training_have_one_distribution(longer_s):
    assert ks_2samp(times(1, seed=1), times(longer_s, seed=2)).pvalue > 0.01
    assert times(1, seed=3) == times(longer_s, seed=3)


def test_the_test_of_the_distribution_would_notice_five_minutes():
    later = [time + 300 for time in times(1, seed=2)]
    assert ks_2samp(times(1, seed=1), later).pvalue < 0.01


def test_a_training_over_half_an_hour_tells_the_number_of_half_hours_only():
    assert times(SLOT_S + 1, seed=4) == times(2 * SLOT_S, seed=4)
    first, second = times(1, seed=4), times(SLOT_S + 1, seed=4)
    assert [b - a for a, b in zip(first, second, strict=True)] == [SLOT_S] * len(first)


@pytest.mark.parametrize("duration_s", [0, 1, 1799, 1800, 1801, 50_000])
def test_the_hold_is_kept_for_every_draw(duration_s):
    finished = BEGUN + duration_s
    assert ready_at(BEGUN, finished, HOLD_S, 0.0) >= finished + HOLD_S
    latest = ready_at(BEGUN, finished, HOLD_S, 1 - 2**-53)
    assert latest < finished + HOLD_S + 2 * SLOT_S


@pytest.mark.parametrize("duration_s", [2, 1000])
async def test_p6_what_the_server_sees_before_ready_is_the_same_for_any_training(
    device, duration_s
):
    """The connection ends before the training; no request follows; the slot alone is random."""
    await device.join()
    train = device.worker.train

    async def training(*arguments):
        device.clock.advance(duration_s)
        return await train(*arguments)

    device.worker.train = training
    began = device.clock.now()
    result = await device.run_cycle(hold_s=HOLD_S)
    assert result.outcome is Outcome.WAITING
    assert device.server.hung_up_after == device.server.calls[-1:]
    assert "ready" not in device.server.calls
    (reason,) = result.reasons
    assert 0 <= reason.until - began - HOLD_S - SLOT_S < SLOT_S
