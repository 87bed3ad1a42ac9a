"""The time that has passed by this computer's clock and by the server's signed time alike.

1. A charge leaves the budget's period only once it is old enough by both. So a clock that is set
   forward renews nothing, and neither does a server that signs a later time.
2. With each signed offer it grows by the lesser of what has passed by either of them since the one
   before. It never goes back, and a time that was wrong once costs no more than that one step.
3. Within one start of the computer its uptime stands for its clock.
"""

from dataclasses import dataclass

from agent.privacy.budget import Moment


@dataclass(frozen=True)
class AgreedTime:
    """How far it has come, and both clocks at the last offer."""

    passed_s: int
    signed_at: int
    """The server's signed time, in seconds since the epoch."""
    noted: Moment

    def after_offer(self, signed_at: int, now: Moment) -> "AgreedTime":
        """Return it after an offer that the server signed at `signed_at`."""
        passed = min(signed_at - self.signed_at, self._by_clock(now))
        return AgreedTime(self.passed_s + max(0, passed), signed_at, now)

    def at(self, now: Moment) -> int:
        """Carry it on to this moment by the uptime; after a restart it waits for an offer."""
        is_same_start = now.uptime.start == self.noted.uptime.start
        return self.passed_s + (max(0, self._by_clock(now)) if is_same_start else 0)

    def age_s(self, stamp: int | None, charged_at: int, now: Moment) -> int:
        """Return how old a charge is, at the least.

        `stamp`: this time at the charge; None for charges of versions that did not note it. For
        them the server's signed time says it.
        """
        age = self.signed_at - charged_at if stamp is None else self.at(now) - stamp
        return max(0, age)

    def _by_clock(self, now: Moment) -> int:
        if now.uptime.start == self.noted.uptime.start:
            return now.uptime.seconds - self.noted.uptime.seconds
        return now.at - self.noted.at
