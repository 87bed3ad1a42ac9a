"""The hours of a weekday as text, such as "09:00-17:00,22:00-06:00", and as minutes. Pure.

A span over midnight belongs to the day on which it starts, so a day's minutes run from 0 to 2879.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

MINUTES_A_DAY = 24 * 60


def minutes_of(text: str) -> frozenset[int]:
    """Return the minutes after midnight (0 to 2879) that a text allows.

    Raises ValueError.
    """
    if text == "always":
        return frozenset(range(MINUTES_A_DAY))
    if text == "never":
        return frozenset()
    minutes: set[int] = set()
    for span in text.split(","):
        start, end = (_minute(part) for part in span.split("-"))
        if start == end:
            raise ValueError("an empty span")
        minutes.update(range(start, end if end > start else end + MINUTES_A_DAY))
    return frozenset(minutes)


def format_hours(minutes: Iterable[int]) -> str:
    """Return the text of a set of minutes; each run of them starts by midnight (minute 1440)."""
    ordered = sorted(minutes)
    if not ordered:
        return "never"
    if ordered == list(range(MINUTES_A_DAY)):
        return "always"
    return ",".join(
        f"{_clock(start)}-{_clock(end)}"
        for run_start, run_end in _runs(ordered)
        for start, end in _spans(run_start, run_end)
    )


@lru_cache(maxsize=8)
def within(week: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the hours that both weeks allow. Each is seven texts, Monday first.

    A run of minutes after midnight that has lost its evening moves to the day on which it lies,
    because a text can only start a span before midnight.
    """
    bounds = [minutes_of(text) for text in allowed]
    days: list[set[int]] = [set() for _ in week]
    for day, text in enumerate(week):
        covered = (
            bounds[day]
            | {minute + MINUTES_A_DAY for minute in bounds[(day + 1) % len(week)]}
            | {minute - MINUTES_A_DAY for minute in bounds[day - 1]}
        )
        for start, end in _runs(sorted(minutes_of(text) & covered)):
            if start <= MINUTES_A_DAY:
                days[day].update(range(start, end))
            else:
                days[(day + 1) % len(week)].update(
                    range(start - MINUTES_A_DAY, end - MINUTES_A_DAY)
                )
    return tuple(format_hours(minutes) for minutes in days)


def _runs(ordered: Sequence[int]) -> list[tuple[int, int]]:
    """Return each run of consecutive minutes as its start and its exclusive end."""
    starts = [m for m, before in zip(ordered, [-2, *ordered], strict=False) if m != before + 1]
    ends = [m + 1 for m, after in zip(ordered, [*ordered[1:], -2], strict=False) if after != m + 1]
    return list(zip(starts, ends, strict=True))


def _spans(start: int, end: int) -> list[tuple[int, int]]:
    """Split a run that one span cannot express: its end would not lie before its start."""
    if end - MINUTES_A_DAY < start:
        return [(start, end)]
    return [(start, MINUTES_A_DAY), (MINUTES_A_DAY, end)]


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    if len(hours) > 2 or len(minutes) != 2 or not (hours + minutes).isdigit():
        raise ValueError
    value = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or value > MINUTES_A_DAY:
        raise ValueError
    return value


def _clock(minute: int) -> str:
    minute = minute if minute <= MINUTES_A_DAY else minute - MINUTES_A_DAY
    return f"{minute // 60:02d}:{minute % 60:02d}"
