"""The debt loop against a simulated kernel: whatever a worker does, its use over time is its
limit.
"""

import pytest

from agent.status import share_in_words
from agent.supervisor import cpu_meter
from agent.supervisor.cpu_meter import PERIOD_S, opened


def simulated(share, *, threads=1.0, seconds=60.0, late_s=0.0, stall=None):
    """Processor seconds used in each second by a worker that spins with `threads`; the governor
    wakes `late_s` after it asked to.
    """
    now, account, per_second = 0.0, opened(0.0, share), [0.0] * int(seconds)
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
def test_p9_the_debt_loop_holds_its_share_whatever_spins(percent, threads):
    share = percent / 100
    used = simulated(share, threads=threads)
    assert sum(used) / len(used) == pytest.approx(share, abs=0.005)
    for at in range(len(used) - 10):
        assert sum(used[at : at + 10]) / 10 <= share + 0.01


def test_p9_a_governor_that_wakes_late_lets_nothing_through_in_the_long_run():
    used = simulated(0.25, late_s=0.004)
    assert sum(used) / len(used) <= 0.255


def looks_at(share, spins_s, rests_s, seconds=30):
    """A worker that spins for `spins_s` of processor time and rests for `rests_s`, on and on: its
    use in each tenth of a second, and how often its counters were read.
    """
    now, account, tenths, looks = 0.0, opened(0.0, share), [0.0] * (seconds * 10), 0
    left, rests_until = spins_s, 0.0
    while now < seconds:
        ran = 0.0 if account.is_spent else account.slice_s(now)
        if ran <= 0:
            now, account = account.ends_at, account.next_period(account.ends_at, share)
            continue
        used, at, looks = 0.0, now, looks + 1
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
    return tenths, looks / seconds


@pytest.mark.parametrize(
    ("spins_s", "rests_s"), [(0.004, 0.012), (0.03, 0.02), (0.05, 0.15), (0.3, 1.5)]
)
def test_p9_a_worker_that_rests_in_between_is_held_and_looked_at_rarely(spins_s, rests_s):
    tenths, looks_per_s = looks_at(0.25, spins_s, rests_s)
    assert max(sum(tenths[at : at + 10]) for at in range(len(tenths) - 9)) <= 0.28
    assert looks_per_s <= 25


def test_time_not_used_is_not_saved_up_for_a_burst():
    account = opened(0.0, 0.25)
    for period in range(1, 600):  # a minute without any use
        account = account.next_period(period * PERIOD_S, 0.25)
    assert account.left_s <= 2 * 0.25 * PERIOD_S + 1e-9


def test_a_stall_neither_earns_nor_owes_more_than_its_cap():
    used = simulated(0.25, stall=(20.0, 15.0))
    assert max(used) <= 0.3
    broke = opened(0.0, 0.25).used(1000.0).next_period(PERIOD_S, 0.25)
    assert broke.left_s == pytest.approx(-cpu_meter.DEBT_CAP_S + 0.25 * PERIOD_S)


def test_after_a_sleep_of_the_machine_the_grid_goes_on_from_now():
    account = opened(0.0, 0.5).next_period(100.03, 0.5)
    assert 100.03 < account.ends_at <= 100.03 + PERIOD_S + 1e-9


@pytest.mark.parametrize(
    ("percent", "cores", "words"),
    [
        (25, 8, "25 % of one core = 3.1 % of this computer"),
        (24, 8, "24 % of one core = 3 % of this computer"),
        (100, 2, "100 % of one core = 50 % of this computer"),
        (5, 1, "5 % of one core = 5 % of this computer"),
    ],
)
def test_a_share_is_said_in_both_measures(percent, cores, words):
    assert share_in_words(percent, cores) == words
