"""Two readings of two clocks show whether the machine slept or the clock was set back."""

import subprocess
import sys
import time

import pytest

from agent.clock import BOOT_ID, SLEEP_GAP_S, SystemClock, set_back, slept, utc

THEN = (1_800_000_000, 1000.0)


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "expected"),
    [
        (0, 0, (False, False)),
        (3600, 3600, (False, False)),
        (3600 + SLEEP_GAP_S, 3600, (False, False)),
        (3601 + SLEEP_GAP_S, 3600, (True, False)),
        (3600 - SLEEP_GAP_S, 3600, (False, False)),
        (3599 - SLEEP_GAP_S, 3600, (False, True)),
        (-86_400, 1, (False, True)),
    ],
    ids=["at once", "awake", "just awake", "asleep", "just right", "just set back", "a day back"],
)
def test_sleep_and_a_clock_that_was_set_back(wall_s, monotonic_s, expected):
    now = (THEN[0] + wall_s, THEN[1] + monotonic_s)
    assert (slept(*THEN, *now), set_back(*THEN, *now)) == expected


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1970-01-01T00:00:00Z"), (1_764_547_199, "2025-11-30T23:59:59Z")]
)
def test_utc_is_rfc_3339(seconds, text):
    assert utc(seconds) == text


def test_the_systems_clock_is_the_systems():
    clock, before = SystemClock(), (int(time.time()), time.monotonic())
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
