"""The hours in which training is allowed, per weekday and in local time. Pure.

A span over midnight belongs to the day on which it starts. The clock on the wall decides: in the
hour that a change to summer time leaves out nothing is looked up, in the hour that comes twice both
count.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from agent.config.hours_text import MINUTES_A_DAY, minutes_of

LOOK_AHEAD_DAYS = 8
BLOCK_MIN = 15
"""Every zone's offset has changed on a multiple of this for decades, so that inside a block local
minutes follow each other."""


def is_open(week: Sequence[str], at: datetime) -> bool:
    """Whether the hours text of each weekday (Monday first) allows the local time `at`."""
    return _allows(_allowed(tuple(week)), at)


def opens_at(week: Sequence[str], now: int, zone: tzinfo | None) -> int | None:
    """Seconds since the epoch of the next minute that is allowed, `now` included; None when none
    comes within a week.

    `zone` None: the zone of this computer.
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
    """`local` with its minute as a wall clock shows it."""
    minute = local.hour * 60 + local.minute
    return (
        minute in allowed[local.weekday()] or minute + MINUTES_A_DAY in allowed[local.weekday() - 1]
    )
