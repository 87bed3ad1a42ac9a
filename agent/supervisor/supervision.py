"""The limits as they hold now, for whichever worker runs: the one place where settings and conditions meet the running worker."""

import logging
from collections.abc import Callable

from agent.supervisor.governor import Governor, Measured
from agent.supervisor.tree import tree_of
from agent.supervisor.watchdog import Caps, StopEvent

log = logging.getLogger(__name__)


class Supervision:
    """Built once per agent. `watch` each worker right after its start, `close` what it returns after its end."""

    def __init__(self, caps: Caps, ended: Callable[[StopEvent], None] = lambda _: None) -> None:
        """`ended` is called from another thread when a limit ended a worker."""
        self._caps = caps
        self._held = False
        self._ended = ended
        self._governor: Governor | None = None
        self.last_stop: StopEvent | None = None

    @property
    def caps(self) -> Caps:
        return self._caps

    @property
    def is_held(self) -> bool:
        return self._held

    def watch(self, pid: int) -> Governor:
        """Govern the process group that `pid` leads."""
        governor = Governor(tree_of(pid), self._caps, self._stopped)
        if self._held:
            governor.hold()
        governor.start()
        self._governor = governor
        return governor

    def set_caps(self, caps: Caps) -> None:
        if caps != self._caps:
            self._caps = caps
            if self._governor is not None:
                self._governor.set_caps(caps)

    def hold(self) -> None:
        """Suspend the worker at once, and any that starts later, until `release`."""
        self._held = True
        if self._governor is not None:
            self._governor.hold()

    def release(self) -> None:
        self._held = False
        if self._governor is not None:
            self._governor.release()

    def measured(self) -> Measured | None:
        """What the running worker takes; None when none runs."""
        governor = self._governor
        return governor.measured() if governor is not None and governor.is_running else None

    def _stopped(self, event: StopEvent) -> None:
        self.last_stop = event
        log.warning(
            "worker.stopped limit=%s value=%.0f cap=%.0f unit=%s after_s=%.0f action=%s",
            event.limit.value, event.value, event.cap, event.unit, event.after_s, event.action.value,
        )  # fmt: skip
        self._ended(event)
