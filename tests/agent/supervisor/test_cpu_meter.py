"""The loop against a simulated kernel: whatever a worker does, its use over time is its limit."""

import pytest

from agent.supervisor import cpu_meter
from agent.supervisor.cpu_meter import PERIOD_S, open_account


def simulated(share, *, threads=1.0, seconds=60.0, late_s=0.0, stall=None):
    """Return what a worker with `threads` spinning threads uses in each second.

    The governor wakes `late_s` too late, and once, at stall[0], it stalls for stall[1] seconds.
    """
    now, account, per_second = 0.0, open_account(0.0, share), [0.0] * int(seconds)
    while now < seconds:
        ran = account.slice_s(now)
        if not account.is_spent and ran > 0:
            ran += late_s
            per_second[min(int(now), len(per_second) - 1)] += ran * threads
            now += ran
            account = account.used(ran * threads, ran)
            continue
        now = max(now, account.ends_at)
        if stall and now >= stall[0]:
            now, stall = now + stall[1], None
        account = account.next_period(now, share)
    return per_second


@pytest.mark.parametrize("percent", [1, 5, 10, 25, 50, 100])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_p9_a_worker_that_spins_keeps_to_its_share(percent, threads):
    share = percent / 100
    used = simulated(share, threads=threads)
    assert sum(used) / len(used) == pytest.approx(share, abs=0.005)
    for at in range(len(used) - 10):
        assert sum(used[at : at + 10]) / 10 <= share + 0.01


def test_p9_a_governor_that_wakes_late_still_keeps_the_share_in_the_long_run():
    used = simulated(0.25, late_s=0.004)
    assert sum(used) / len(used) <= 0.255


def use_of(share, spins_s, rests_s, seconds=30):
    """Return a worker's use in each tenth of a second, and the readings of its counters per second.

    It alternates between spinning for `spins_s` of processor time and resting for `rests_s`.
    """
    now, account, tenths, readings = 0.0, open_account(0.0, share), [0.0] * (seconds * 10), 0
    left, rests_until = spins_s, 0.0
    while now < seconds:
        ran = 0.0 if account.is_spent else account.slice_s(now)
        if ran <= 0:
            now, account = account.ends_at, account.next_period(account.ends_at, share)
            continue
        used, at, readings = 0.0, now, readings + 1
        while at < now + ran - 1e-9:
            step = min(0.001, now + ran - at)
            if at >= rests_until:
                used, left = used + step, left - step
                tenths[min(int(at * 10), len(tenths) - 1)] += step
                if left <= 0:
                    left, rests_until = spins_s, at + rests_s
            at += step
        now += ran
        account = account.used(used, ran)
    return tenths, readings / seconds


@pytest.mark.parametrize(
    ("spins_s", "rests_s"), [(0.004, 0.012), (0.03, 0.02), (0.05, 0.15), (0.3, 1.5)]
)
def test_p9_a_worker_that_rests_keeps_to_its_share_and_its_counters_are_rarely_read(
    spins_s, rests_s
):
    tenths, readings_per_s = use_of(0.25, spins_s, rests_s)
    assert max(sum(tenths[at : at + 10]) for at in range(len(tenths) - 9)) <= 0.28
    assert readings_per_s <= 25


def test_unused_time_cannot_be_saved_for_a_burst():
    account = open_account(0.0, 0.25)
    for period in range(1, 600):  # a minute without any use
        account = account.next_period(period * PERIOD_S, 0.25)
    assert account.left_s <= 2 * 0.25 * PERIOD_S + 1e-9


def test_a_stall_neither_earns_nor_owes_more_than_its_cap():
    used = simulated(0.25, stall=(20.0, 15.0))
    assert max(used) <= 0.3
    broke = open_account(0.0, 0.25).used(1000.0).next_period(PERIOD_S, 0.25)
    assert broke.left_s == pytest.approx(-cpu_meter.DEBT_CAP_S + 0.25 * PERIOD_S)


def test_after_a_sleep_of_the_machine_the_grid_continues_from_now():
    account = open_account(0.0, 0.5).next_period(100.03, 0.5)
    assert 100.03 < account.ends_at <= 100.03 + PERIOD_S + 1e-9
