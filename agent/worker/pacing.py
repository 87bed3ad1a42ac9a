"""Cooperative pacing inside the worker: after each small step it sleeps for as long as its own use
of the processor asks for.

Pacing spreads the work evenly and keeps the processor cool between steps. It is not the limit:
threads that spin do not sleep with the main thread. The governor (agent.supervisor) enforces the
limit from outside.
"""

import time
from collections.abc import Callable

MARGIN = 0.002
"""The worker stays this far below its limit, so that the governor has nothing to suspend."""
CREDIT_CAP_S = 0.02
"""The most of a sleep that lasted too long that is made up for. The governor carries no more unused
time than this from one period to the next, so a larger credit would only make it step in."""
MIN_SLEEP_S = 0.002
"""A shorter sleep is carried over: waking up would cost more than it saves."""
MAX_SLEEP_S = 1.0
"""Bounds the wait for a new limit or for the request to stop."""


class Pace:
    """Keeps this process at a share of one processor core."""

    def __init__(
        self,
        cpu_percent: int,
        *,
        used: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._used, self._now, self._sleep = used, now, sleep
        self._used_before, self._before, self._owed_s = used(), now(), 0.0
        self.set_limit(cpu_percent)

    def set_limit(self, cpu_percent: int) -> None:
        """Use another limit from the next step on."""
        self._share = max(cpu_percent / 100 - MARGIN, MARGIN)

    def after_step(self) -> None:
        """Sleep until the use so far is at most the share of the time; at most MAX_SLEEP_S."""
        used, now = self._used(), self._now()
        owed = self._owed_s + (used - self._used_before) / self._share - (now - self._before)
        self._used_before, self._before = used, now
        # Negative: an earlier sleep lasted too long, and the next steps may use that time.
        self._owed_s = max(-CREDIT_CAP_S, min(owed, MAX_SLEEP_S))
        if self._owed_s > MIN_SLEEP_S:
            self._sleep(self._owed_s)
