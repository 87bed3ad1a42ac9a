"""The server's time, as its answers tell it, and how far this computer's clock is off.

1. The server decides when a round opens and closes. This device only needs the time since the
   server's last answer, which a clock measures that nobody can set.
2. Expiry is judged by this computer's clock alone: whoever could set the server's time for this
   device could keep an old model fresh. So a failure through a wrong clock says so, and by how
   much.
3. A device whose clock is a day off or more takes no part: the ledger's days, the end of consent
   and the freshness of models are judged by that clock.
"""

from email.utils import parsedate_to_datetime

from agent.clock import Clock
from agent.errors import AegisError, UserActionError

HOUR_S = 3600
DAY_S = 24 * HOUR_S
MAX_OFFSET_S = DAY_S - 600
"""A device whose clock is farther off takes no part. Ten minutes less than a day, so that "a day"
in words is always too far."""
NOTICEABLE_S = 300
CAUSES = {
    # The authority's list of revoked certificates is made anew every hour and valid for a day.
    "REVOCATIONS_EXPIRED": (600, HOUR_S),
    # A certificate begins five minutes early and is renewed days before its end.
    "ROSTER_CERTIFICATE": (NOTICEABLE_S, HOUR_S),
    # The repository's timestamp is valid for half a day at least.
    "MODEL_EXPIRED": (None, 6 * HOUR_S),
    "CLOCK_WENT_BACK": (NOTICEABLE_S, None),
}
"""Errors that a wrong clock can cause: by how many seconds it has to be behind or ahead for that
(None: it cannot)."""


class ServerClock:
    """Carries the server's time on from its last answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: tuple[int, float] | None = None

    def note(self, seconds: int) -> None:
        """Remember the time of an answer that has just arrived; seconds since the epoch."""
        self._noted = seconds, self._clock.elapsed()

    def note_date(self, header: str) -> None:
        """Remember the time of an answer's `Date`, if that is one."""
        try:
            self.note(int(parsedate_to_datetime(header).timestamp()))
        except (ValueError, TypeError, OverflowError):
            return

    def now(self) -> int | None:
        """Return the server's time; None before its first answer."""
        if self._noted is None:
            return None
        seconds, at = self._noted
        return seconds + int(self._clock.elapsed() - at)

    def now_or_local(self) -> int:
        """Return the server's time, or this computer's before its first answer."""
        now = self.now()
        return self._clock.now() if now is None else now

    def offset_s(self) -> int | None:
        """Return by how many seconds this computer's clock is ahead of the server's; None before
        its first answer.
        """
        now = self.now()
        return None if now is None else self._clock.now() - now

    def check(self) -> None:
        """Raise UserActionError CLOCK_WRONG when this computer's clock is a day off or more."""
        offset = self.offset_s()
        if offset is not None and abs(offset) >= MAX_OFFSET_S:
            raise clock_wrong(offset)

    def explained(self, error: AegisError) -> AegisError:
        """Return CLOCK_WRONG in place of an error that this computer's clock explains."""
        offset, bounds = self.offset_s(), CAUSES.get(error.code)
        if offset is None or bounds is None:
            return error
        behind_s, ahead_s = bounds
        is_cause = (behind_s is not None and -offset >= behind_s) or (
            ahead_s is not None and offset >= ahead_s
        )
        return clock_wrong(offset, error.code) if is_cause else error


def clock_wrong(offset_s: int, detail: str = "") -> UserActionError:
    """Return the error for a clock that is `offset_s` ahead of the server's (behind: negative)."""
    side = "ahead of" if offset_s > 0 else "behind"
    return UserActionError(
        "CLOCK_WRONG",
        f"This computer's clock is {in_words(abs(offset_s))} {side} the server's.",
        "Set this computer's clock, then try again. If it is right, tell the operator.",
        detail,
    )


def in_words(seconds: int) -> str:
    """Return a length of time in its largest fitting unit: "30 minutes", "2 hours", "40 days"."""
    units = ((2 * 365 * DAY_S, 365 * DAY_S, "years"), (2 * DAY_S, DAY_S, "days"))
    for least_s, unit_s, name in (*units, (2 * HOUR_S, HOUR_S, "hours")):
        if seconds >= least_s - unit_s // 100:
            return f"{round(seconds / unit_s)} {name}"
    return f"{max(1, round(seconds / 60))} minutes"
