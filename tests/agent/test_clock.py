"""Two readings of two clocks show whether the machine slept or the clock was set."""

import subprocess
import sys
import time

import pytest

from agent.clock import BOOT_ID, SLEEP_GAP_S, SystemClock, set_by_s, slept, utc

THEN = (1_800_000_000, 1000.0)


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "expected"),
    [
        (0, 0, 0),
        (3600, 3600, 0),
        (3600 + SLEEP_GAP_S, 3600, 0),
        (3601 + SLEEP_GAP_S, 3600, 1 + SLEEP_GAP_S),
        (3600 - SLEEP_GAP_S, 3600, 0),
        (3599 - SLEEP_GAP_S, 3600, -1 - SLEEP_GAP_S),
        (-86_400, 0, -86_400),
    ],
    ids=["at once", "right", "nearly", "ahead", "just right", "just set back", "a day back"],
)
def test_by_how_much_a_clock_was_set(wall_s, monotonic_s, expected):
    now = (THEN[0] + wall_s, THEN[1] + monotonic_s)
    assert set_by_s(*THEN, *now) == expected


def test_only_a_clock_that_counts_sleep_runs_ahead_of_the_monotonic_one_in_sleep():
    assert slept(50.0, 10.0, 50.0 + 3600, 20.0)
    assert not slept(50.0, 10.0, 50.0 + 3600, 10.0 + 3600)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1970-01-01T00:00:00Z"), (1_764_547_199, "2025-11-30T23:59:59Z")]
)
def test_utc_is_rfc_3339(seconds, text):
    assert utc(seconds) == text


def test_the_systems_clock_is_the_systems():
    clock, before = SystemClock(), (int(time.time()), time.monotonic())
    assert clock.elapsed() >= before[1]
    assert before <= (clock.now(), clock.monotonic()) <= (int(time.time()), time.monotonic())


UPTIME = """
from agent.clock import SystemClock
up = SystemClock().uptime()
print(up.start, up.seconds)
"""


def test_the_uptime_of_two_processes_counts_from_one_start_where_the_kernel_names_it():
    clock = SystemClock()
    before = clock.uptime()
    other = subprocess.run(
        [sys.executable, "-c", UPTIME], capture_output=True, text=True, check=True
    ).stdout.split()
    after = clock.uptime()
    assert (before.start, before.start != "") == (after.start, True)
    assert 0 <= before.seconds <= after.seconds
    if BOOT_ID.exists():
        assert other[0] == before.start
        assert before.seconds <= int(other[1]) <= after.seconds
    else:
        assert other[0] != before.start
