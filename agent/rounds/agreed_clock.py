"""Keeps the time that both clocks agree on (agent.privacy.agreed_time), durably."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.clock import Clock, Uptime
from agent.store.shapes import conforms
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.privacy.agreed_time import AgreedTime
    from agent.privacy.budget import Moment

KEY = "agreed_time"
_SHAPE = {
    "passed_s": int,
    "signed_at": int,
    "noted": {"at": int, "uptime": {"start": str, "seconds": int}},
}
STEP_S = 60
"""Offers that come faster are not written down one by one."""


class AgreedClock:
    """Reads and writes the store each time; there is no state besides."""

    def __init__(self, clock: Clock, values: Values) -> None:
        self._clock = clock
        self._values = values

    def note(self, signed_at: int) -> None:
        """Note the time of an offer that the server has just signed."""
        from agent.privacy.agreed_time import AgreedTime

        known, now = self._known(), self._now()
        if known is None:
            known = AgreedTime(0, signed_at, now)
        elif (
            known.noted.uptime.start == now.uptime.start
            and abs(signed_at - known.signed_at) < STEP_S
            and now.uptime.seconds - known.noted.uptime.seconds < STEP_S
        ):
            return
        else:
            known = known.after_offer(signed_at, now)
        self._values.put(KEY, asdict(known))

    def now(self) -> int | None:
        """Return how far it has come; None before the first offer."""
        known = self._known()
        return None if known is None else known.at(self._now())

    def age_s(self, stamp: int | None, charged_at: int) -> int:
        """Return how old a charge is by it, at the least (`AgreedTime.age_s`)."""
        known = self._known()
        return 0 if known is None else known.age_s(stamp, charged_at, self._now())

    def _known(self) -> "AgreedTime | None":
        from agent.privacy.agreed_time import AgreedTime
        from agent.privacy.budget import Moment

        found = self._values.get(KEY)
        if not conforms(found, _SHAPE):
            return None
        noted = found["noted"]
        uptime = Uptime(noted["uptime"]["start"], noted["uptime"]["seconds"])
        return AgreedTime(found["passed_s"], found["signed_at"], Moment(noted["at"], uptime))

    def _now(self) -> "Moment":
        from agent.privacy.budget import Moment

        return Moment(self._clock.now(), self._clock.uptime())
