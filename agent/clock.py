"""Clocks are passed in: no logic calls `time` itself."""

import secrets
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol

SLEEP_GAP_S = 60
"""When wall time runs ahead of the monotonic clock by more than this, the machine has slept."""


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Linux counts sleep in CLOCK_BOOTTIME, macOS in CLOCK_MONOTONIC, Windows in time.monotonic().
_WITH_SLEEP: int | None = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC if sys.platform == "darwin" else None
)


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

    def uptime(self) -> Uptime:
        start, counts_boot = _start()
        # Unverified on Windows and macOS.
        return Uptime(start, int(self.elapsed() - (0 if counts_boot else _IMPORTED_AT)))


_IMPORTED_AT = SystemClock().elapsed()


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


def slept(then: float, monotonic_then: float, now: float, monotonic_now: float) -> bool:
    """Return whether the machine slept between two readings of a clock that counts sleep and of the
    monotonic clock.
    """
    return (now - then) - (monotonic_now - monotonic_then) > SLEEP_GAP_S


def set_by_s(wall_then: int, then: float, wall_now: int, now: float) -> int:
    """Return by how many seconds the time of day was set (back: negative) between two readings of
    it and of a clock that counts sleep; 0 for less than SLEEP_GAP_S.
    """
    seconds = int((wall_now - wall_then) - (now - then))
    return seconds if abs(seconds) > SLEEP_GAP_S else 0
