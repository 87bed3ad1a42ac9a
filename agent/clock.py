"""Time, as a value that is passed in: no logic calls `time` itself."""

import time
from datetime import UTC, datetime
from typing import Protocol

SLEEP_GAP_S = 60
"""Wall time that ran ahead of the monotonic clock by this much means that the machine slept."""


class Clock(Protocol):
    """Wall time in whole seconds since the epoch, and a monotonic time that stops for nobody's
    clock change.
    """

    def now(self) -> int: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()


def utc(seconds: int) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slept(wall_then: int, monotonic_then: float, wall_now: int, monotonic_now: float) -> bool:
    """Whether the machine slept between two readings of both clocks."""
    return (wall_now - wall_then) - (monotonic_now - monotonic_then) > SLEEP_GAP_S


def set_back(wall_then: int, monotonic_then: float, wall_now: int, monotonic_now: float) -> bool:
    """Whether the clock was set back between two readings of both clocks: times noted before may
    lie far ahead.
    """
    return (wall_now - wall_then) - (monotonic_now - monotonic_then) < -SLEEP_GAP_S
