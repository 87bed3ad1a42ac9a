"""Clocks are passed in: no logic calls `time` itself."""

import sys
import time
from datetime import UTC, datetime
from typing import Protocol

SLEEP_GAP_S = 60
"""When wall time runs ahead of the monotonic clock by more than this, the machine has slept."""


# Linux counts sleep in CLOCK_BOOTTIME, macOS in CLOCK_MONOTONIC, Windows in time.monotonic().
_WITH_SLEEP: int | None = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC if sys.platform == "darwin" else None
)


class Clock(Protocol):
    """The wall time, and two times that no change of the clock affects."""

    def now(self) -> int:
        """Return whole seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point; they never go back."""

    def elapsed(self) -> float:
        """Return seconds since some fixed point, those in which the machine slept included."""


class SystemClock:
    """Reads the machine's clocks."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()

    def elapsed(self) -> float:
        return time.clock_gettime(_WITH_SLEEP) if _WITH_SLEEP is not None else time.monotonic()


def utc(seconds: int) -> str:
    """Format seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slept(wall_then: int, monotonic_then: float, wall_now: int, monotonic_now: float) -> bool:
    """Return whether the machine slept between two readings of both clocks."""
    return (wall_now - wall_then) - (monotonic_now - monotonic_then) > SLEEP_GAP_S


def set_back(wall_then: int, monotonic_then: float, wall_now: int, monotonic_now: float) -> bool:
    """Return whether the clock was set back between two readings of both clocks.

    Times noted before may then lie far in the future.
    """
    return (wall_now - wall_then) - (monotonic_now - monotonic_then) < -SLEEP_GAP_S
