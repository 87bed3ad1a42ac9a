"""Applies the current limits to whichever worker runs: settings and conditions meet it only here.

Training and looking for samples stay within the processor limit and are suspended when the
conditions demand it. Work that a person waits for (scanning a file, adding samples) runs at full
speed, and so does sealing: it takes less than a second while other devices wait. Every worker has
the lowest priority and bounded memory, written bytes and time.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from agent.protocol.jobs import Job
from agent.supervisor.governor import Governor, Measured
from agent.supervisor.tree import ProcessTree, tree_of
from agent.supervisor.watchdog import Caps, StopEvent

log = logging.getLogger(__name__)


_IN_THE_BACKGROUND = (Job.TRAIN, Job.COLLECT)
"""What nobody waits for. An agent runs one of them at a time."""


class Supervision:
    """The governors of one agent's workers.

    Call `watch` right after a worker's start, and `close` the governor that it returns after the
    worker's end.
    """

    def __init__(
        self,
        caps: Caps,
        on_stop: Callable[[StopEvent], None] = lambda _: None,
        *,
        tree: Callable[[int], ProcessTree] = tree_of,
    ) -> None:
        """A limit that ends a worker calls `on_stop`, from another thread."""
        self._caps = caps
        self._is_suspended = False
        self._on_stop = on_stop
        self._tree = tree
        self._training: Governor | None = None
        self._governors: list[Governor] = []
        self._ended_cpu_s = 0.0
        self._on_limit: Callable[[int], None] = lambda _: None
        self.last_stop: StopEvent | None = None

    @property
    def caps(self) -> Caps:
        """The limits of training."""
        return self._caps

    @property
    def is_suspended(self) -> bool:
        """Whether training is suspended, or would start so."""
        return self._is_suspended

    def caps_of(self, job: Job, address_mib: int) -> Caps:
        """Return the limits of a job.

        `address_mib` is its address space, the only bound on the memory of jobs other than
        training.
        """
        if job is Job.TRAIN:
            return self._caps
        if job is Job.COLLECT:
            return replace(self._caps, memory_bytes=address_mib << 20)
        return replace(self._caps, cpu_percent=None, memory_bytes=address_mib << 20)

    def watch(
        self, pid: int, job: Job, address_mib: int, on_limit: Callable[[int], None] = lambda _: None
    ) -> Governor:
        """Govern the session that `pid` leads.

        `on_limit` is called with the new processor limit when it changes during a training.
        """
        tree = self._tree(pid)
        tree.lower_priority()
        governor = Governor(tree, self.caps_of(job, address_mib), self._note_stop)
        if job in _IN_THE_BACKGROUND:
            # Before the thread starts: a suspended training must not run a single slice.
            if self._is_suspended:
                governor.suspend()
            self._training, self._on_limit = governor, on_limit
        governor.start()
        self._governors.append(governor)
        return governor

    def set_caps(self, caps: Caps) -> None:
        """Change the limits, also those of a running training."""
        if caps == self._caps:
            return
        self._caps = caps
        if self._training is not None and self._training.is_running:
            self._training.set_caps(caps)
            self._on_limit(caps.cpu_percent or 100)

    def suspend(self) -> None:
        """Suspend training at once, and any that starts later, until `resume`."""
        self._is_suspended = True
        if self._training is not None and self._training.is_running:
            self._training.suspend()

    def resume(self) -> None:
        """Let training continue at once."""
        self._is_suspended = False
        if self._training is not None:
            self._training.resume()

    def measured(self) -> Measured | None:
        """Return what training uses; None while none runs."""
        governor = self._training
        return governor.measured() if governor is not None and governor.is_running else None

    def cpu_time_s(self) -> float:
        """Return the processor seconds of all workers so far, ended ones included; never falls."""
        # An ended worker's pid may belong to another process by now, so its time is kept, not read.
        ended = [governor for governor in self._governors if governor.final_s is not None]
        self._ended_cpu_s += sum(governor.cpu_time_s() for governor in ended)
        self._governors = [governor for governor in self._governors if governor not in ended]
        return self._ended_cpu_s + sum(governor.cpu_time_s() for governor in self._governors)

    def _note_stop(self, event: StopEvent) -> None:
        self.last_stop = event
        log.warning(
            "worker.stopped limit=%s value=%.0f cap=%.0f unit=%s after_s=%.0f action=%s",
            event.limit.value, event.value, event.cap, event.unit, event.after_s,
            event.action.value,
        )  # fmt: skip
        self._on_stop(event)
