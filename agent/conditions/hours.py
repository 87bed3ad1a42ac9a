"""Decides whether training is allowed at a local time, by the hours text of each weekday. Pure.

A span over midnight belongs to the day on which it starts. The clock on the wall decides: the hour
that a change to summer time skips never comes, and the hour that comes twice counts both times.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from agent.config.hours_text import MINUTES_A_DAY, minutes_of

LOOK_AHEAD_DAYS = 8
BLOCK_MIN = 15
"""For decades every zone has changed its offset on a multiple of this, so inside a block local
minutes follow each other."""


def is_open(week: Sequence[str], at: datetime) -> bool:
    """Return whether the hours text of the weekdays (Monday first) allows the local time `at`."""
    return _allows(_allowed(tuple(week)), at)


def opens_at(week: Sequence[str], now: int, zone: tzinfo | None) -> int | None:
    """Return the next allowed time, in seconds since the epoch; `now` if that is allowed.

    None: no time within a week is allowed. `zone` None: the time zone of this computer.
    """
    allowed = [minutes_of(text) for text in week]
    if not any(allowed):
        return None
    start = now - now % (BLOCK_MIN * 60)
    for block in range(LOOK_AHEAD_DAYS * MINUTES_A_DAY // BLOCK_MIN):
        begins = datetime.fromtimestamp(start + block * BLOCK_MIN * 60, UTC)
        local = begins.astimezone(zone)
        for step in range(BLOCK_MIN):
            at = int(begins.timestamp()) + step * 60
            if at + 60 > now and _allows(allowed, local + timedelta(minutes=step)):
                return max(now, at)
    return None


@lru_cache(maxsize=8)
def _allowed(week: tuple[str, ...]) -> tuple[frozenset[int], ...]:
    return tuple(minutes_of(text) for text in week)


def _allows(allowed: Sequence[frozenset[int]], local: datetime) -> bool:
    """Return whether a span of this day or of the day before covers the minute of `local`."""
    minute = local.hour * 60 + local.minute
    return (
        minute in allowed[local.weekday()] or minute + MINUTES_A_DAY in allowed[local.weekday() - 1]
    )
