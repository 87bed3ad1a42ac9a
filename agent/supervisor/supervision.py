"""Applies the current limits to whichever worker runs: the one place where settings and conditions
meet it.

Training keeps to the processor limit and is suspended when the conditions say so. Work that a
person waits for (scanning a file, adding samples) and sealing (less than a second, while other
devices wait) run at full speed. Every worker has the lowest priority and bounded memory, written
bytes and time.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from agent.protocol.jobs import Job
from agent.supervisor.governor import Governor, Measured
from agent.supervisor.tree import ProcessTree, tree_of
from agent.supervisor.watchdog import Caps, StopEvent

log = logging.getLogger(__name__)


class Supervision:
    """Built once per agent.

    `watch` each worker right after its start, `close` what it returns after its end.
    """

    def __init__(
        self,
        caps: Caps,
        ended: Callable[[StopEvent], None] = lambda _: None,
        *,
        tree: Callable[[int], ProcessTree] = tree_of,
    ) -> None:
        """`ended` is called from another thread when a limit ended a worker."""
        self._caps = caps
        self._held = False
        self._ended = ended
        self._tree = tree
        self._training: Governor | None = None
        self._watched: list[Governor] = []
        self._ended_s = 0.0
        self._tell: Callable[[int], None] = lambda _: None
        self.last_stop: StopEvent | None = None

    @property
    def caps(self) -> Caps:
        """Of training."""
        return self._caps

    @property
    def is_held(self) -> bool:
        return self._held

    def caps_of(self, job: Job, address_mib: int) -> Caps:
        """What holds for one job; `address_mib` is its address space, the only memory bound of what
        is not training.
        """
        return (
            self._caps
            if job is Job.TRAIN
            else replace(self._caps, cpu_percent=None, memory_bytes=address_mib << 20)
        )

    def watch(
        self, pid: int, job: Job, address_mib: int, tell: Callable[[int], None] = lambda _: None
    ) -> Governor:
        """Govern the session that `pid` leads.

        `tell` is called with a new processor limit while it runs.
        """
        tree = self._tree(pid)
        tree.lower_priority()
        governor = Governor(tree, self.caps_of(job, address_mib), self._stopped)
        if job is Job.TRAIN:
            if self._held:
                governor.hold()
            self._training, self._tell = governor, tell
        governor.start()
        self._watched.append(governor)
        return governor

    def set_caps(self, caps: Caps) -> None:
        """Other limits, also for a training that runs."""
        if caps == self._caps:
            return
        self._caps = caps
        if self._training is not None and self._training.is_running:
            self._training.set_caps(caps)
            self._tell(caps.cpu_percent or 100)

    def hold(self) -> None:
        """Suspend training at once, and any that starts later, until `release`."""
        self._held = True
        if self._training is not None and self._training.is_running:
            self._training.hold()

    def release(self) -> None:
        """Let training go on at once."""
        self._held = False
        if self._training is not None:
            self._training.release()

    def measured(self) -> Measured | None:
        """What training takes; None while none runs."""
        governor = self._training
        return governor.measured() if governor is not None and governor.is_running else None

    def cpu_time_s(self) -> float:
        """Processor seconds of all workers so far, those that run and those that ended; never
        falls.
        """
        ended = [governor for governor in self._watched if governor.final_s is not None]
        self._ended_s += sum(governor.cpu_time_s() for governor in ended)
        self._watched = [governor for governor in self._watched if governor not in ended]
        return self._ended_s + sum(governor.cpu_time_s() for governor in self._watched)

    def _stopped(self, event: StopEvent) -> None:
        self.last_stop = event
        log.warning(
            "worker.stopped limit=%s value=%.0f cap=%.0f unit=%s after_s=%.0f action=%s",
            event.limit.value, event.value, event.cap, event.unit, event.after_s,
            event.action.value,
        )  # fmt: skip
        self._ended(event)
