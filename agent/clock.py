"""Clocks are passed in: no logic calls `time` itself."""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol

SLEEP_GAP_S = 60
"""When wall time runs ahead of the monotonic clock by more than this, the machine has slept."""


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Uptime:
    """How long this computer, or this process, has been running; time asleep counts."""

    start: str
    """Names the start that the seconds count from: two times of one start can be compared."""
    seconds: int


class Clock(Protocol):
    """The wall time, and times that no change of the clock affects."""

    def now(self) -> int:
        """Return whole seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point; they never go back. Time asleep may not count."""

    def uptime(self) -> Uptime:
        """Return the time since the last start; it never goes back, and time asleep counts."""


class SystemClock:
    """Reads the machine's clocks."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()

    def uptime(self) -> Uptime:
        start, counts_boot = _start()
        if counts_boot:
            return Uptime(start, int(time.clock_gettime(time.CLOCK_BOOTTIME)))
        # Unverified on Windows and macOS, where this clock counts time asleep.
        return Uptime(start, int(time.monotonic() - _IMPORTED_AT))


_IMPORTED_AT = time.monotonic()


@cache
def _start() -> tuple[str, bool]:
    """Name the start that `uptime` counts from, and say whether it is the computer's.

    Where the kernel names none, it is this process's.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        try:
            return BOOT_ID.read_text(encoding="ascii").strip(), True
        except (OSError, ValueError):
            pass
    return secrets.token_hex(16), False


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
