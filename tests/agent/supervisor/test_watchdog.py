"""Which limit ends a worker, and what the event says."""

from dataclasses import replace

import pytest

from agent.supervisor.watchdog import (
    MAX_SUSPENDED_S,
    MEMORY_RESERVE_BYTES,
    Action,
    Caps,
    Limit,
    Sample,
    check,
)

MIB = 2**20
CAPS = Caps(25, 100 * MIB, running_s=60, written_bytes=10 * MIB)
FINE = Sample(
    running_s=10,
    suspended_s=0,
    rss_bytes=50 * MIB,
    written_bytes=MIB,
    machine_available_bytes=4096 * MIB,
)


def test_p9_within_all_limits_nothing_happens():
    assert check(FINE, CAPS) is None
    assert check(replace(FINE, machine_available_bytes=None), CAPS) is None


@pytest.mark.parametrize(
    ("change", "limit", "action"),
    [
        ({"rss_bytes": 101 * MIB}, Limit.MEMORY, Action.KILLED),
        ({"written_bytes": 11 * MIB}, Limit.WRITTEN, Action.KILLED),
        ({"running_s": 61}, Limit.RUNNING_TIME, Action.ENDED),
        ({"suspended_s": MAX_SUSPENDED_S + 1}, Limit.SUSPENDED, Action.ENDED),
        ({"machine_available_bytes": MEMORY_RESERVE_BYTES - 1}, Limit.MACHINE_MEMORY, Action.ENDED),
    ],
)
def test_p9_the_event_of_a_limit_names_it_with_value_cap_and_running_time(change, limit, action):
    event = check(replace(FINE, **change), CAPS)
    assert (event.limit, event.action, event.after_s) == (
        limit,
        action,
        change.get("running_s", 10),
    )
    assert limit.value in str(event)
    assert f"limit {event.cap:.0f} {event.unit}" in str(event)
    assert (event.value < event.cap) is (limit is Limit.MACHINE_MEMORY)


def test_a_limit_that_kills_precedes_one_that_gives_time():
    assert check(replace(FINE, rss_bytes=101 * MIB, running_s=61), CAPS).limit is Limit.MEMORY


@pytest.mark.parametrize("percent", [0, 101, -5])
def test_a_processor_limit_lies_between_1_and_100(percent):
    with pytest.raises(ValueError, match="1 to 100"):
        Caps(percent, MIB)
