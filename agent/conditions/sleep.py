"""Notices that the machine goes to sleep and wakes up, and keeps training off around it.

A signal announces a sleep where the system sends one. Everywhere else a gap between the two clocks
shows it afterwards.
"""

from agent.clock import Clock, slept
from agent.reasons import Reason, ReasonCode

SETTLE_S = 120
"""The quiet time after waking: the person has just come back, and networks are still connecting."""


class SleepTracker:
    """Whether the machine is about to sleep, and when it last woke up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clocks = (clock.now(), clock.monotonic())
        """Both clocks at the last check: seconds since the epoch, and monotonic seconds."""
        self._is_going_to_sleep = False
        self._woke_at: int | None = None

    def check_clocks(self) -> None:
        """Compare the clocks; call it regularly."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if slept(*self._clocks, now, monotonic):
            self._woke_at = now
        self._clocks = (now, monotonic)

    def announce(self, *, is_going_to_sleep: bool) -> None:
        """Note what the system announced last."""
        if self._is_going_to_sleep and not is_going_to_sleep:
            self._woke_at = self._clock.now()
        self._is_going_to_sleep = is_going_to_sleep

    def reasons(self) -> tuple[Reason, ...]:
        """Return the reason against training now, if there is one."""
        if self._is_going_to_sleep:
            return (Reason(ReasonCode.BACKOFF, "The computer is going to sleep."),)
        now = self._clock.now()
        # The lower bound: a clock that was set back must not extend the quiet time.
        if self._woke_at is not None and self._woke_at <= now < self._woke_at + SETTLE_S:
            text = "The computer woke up a moment ago."
            return (Reason(ReasonCode.BACKOFF, text, until=self._woke_at + SETTLE_S),)
        return ()
