"""The hours in which training is allowed, per weekday and in local time. Pure.

A span over midnight belongs to the day on which it starts. The clock on the wall decides: in the hour that a change to summer time leaves
out nothing is looked up, in the hour that comes twice both count.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from agent.settings import MINUTES_A_DAY, minutes_of

LOOK_AHEAD_DAYS = 8


def is_open(week: Sequence[str], at: datetime) -> bool:
    """Whether the hours text of each weekday (Monday first) allows the local time `at`."""
    minute = at.hour * 60 + at.minute
    today, yesterday = week[at.weekday()], week[at.weekday() - 1]
    return minute in minutes_of(today) or minute + MINUTES_A_DAY in minutes_of(yesterday)


def opens_at(week: Sequence[str], now: int, zone: tzinfo) -> int | None:
    """Seconds since the epoch of the next minute that is allowed, `now` included; None when none comes within a week."""
    allowed = [minutes_of(text) for text in week]
    at = datetime.fromtimestamp(now - now % 60, UTC)
    for step in range(LOOK_AHEAD_DAYS * MINUTES_A_DAY):
        moment = at + timedelta(minutes=step)
        local = moment.astimezone(zone)
        minute = local.hour * 60 + local.minute
        if minute in allowed[local.weekday()] or minute + MINUTES_A_DAY in allowed[local.weekday() - 1]:
            return max(now, int(moment.timestamp()))
    return None
