"""Makes the worker of one agent with its first job, and keeps it within the limits."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.paths import Home
from agent.status import StopView

if TYPE_CHECKING:
    from agent.protocol.jobs import EscapeResult
    from agent.supervisor.governor import Measured
    from agent.supervisor.supervision import Supervision
    from agent.supervisor.watchdog import Caps, StopEvent
    from agent.supervisor.worker import Worker


@dataclass(frozen=True)
class TrainingLimits:
    """What training may take now."""

    cpu_percent: int
    """Per cent of one core."""
    memory_mib: int


class WorkerHost:
    """The worker of one agent and its limits."""

    def __init__(
        self,
        home: Home,
        clock: Clock,
        limits: Callable[[], TrainingLimits],
        progress: Callable[[int, int], None],
        *,
        scratch: Callable[[], Path] | None = None,
        override: "Worker | None" = None,
    ) -> None:
        """`limits` returns the current limits of training. `progress` receives the steps done and
        the steps in all. `scratch` makes the folder that workers work in, instead of the home's.
        `override` replaces the worker that runs separate processes.
        """
        self._home = home
        self._clock = clock
        self._limits = limits
        self._progress = progress
        self._scratch = scratch or (lambda: home.scratch)
        self._worker = override
        self._supervision: Supervision | None = None
        self.last_stop: StopView | None = None
        """The last stop of a worker by a limit."""

    def worker(self) -> "Worker":
        """Return the worker. It runs each job in a process of its own unless it was overridden."""
        if self._worker is None:
            from agent.supervisor.machine_slot import MachineSlot, machine_folder
            from agent.supervisor.process_worker import ProcessWorker
            from agent.supervisor.supervision import Supervision

            self._supervision = Supervision(self._caps(), self._note_stop)
            self._worker = ProcessWorker(
                self._scratch(),
                self._supervision,
                progress=lambda progress: self._progress(progress.done, progress.total),
                slot=lambda: MachineSlot(machine_folder()),
                records=self._home.root,
            )
        return self._worker

    async def attempt_escape(self) -> "EscapeResult":
        """Let a worker process of its own try to break out, without harm; for the doctor.

        Raises AegisError and OSError when none could be started.
        """
        from agent.supervisor.process_worker import ProcessWorker

        # Never the override: a worker in this process has no sandbox to break out of.
        worker = ProcessWorker(self._scratch())
        return await worker.attempt_escape(
            os.path.expanduser("~"),  # noqa: PTH111 - a person without a home stays "~"
            os.fspath(self._home.database),
        )

    async def stop(self) -> None:
        """Stop the worker's jobs, if it ever had any."""
        if self._worker is not None:
            await self._worker.stop()

    def limits(self) -> TrainingLimits:
        """Return the current limits of training."""
        return self._limits()

    def enforce(self) -> None:
        """Apply the current limits to a training under way."""
        if self._supervision is not None:
            self._supervision.set_caps(self._caps())

    def measured(self) -> "Measured | None":
        """Return what training uses; None while none runs."""
        return None if self._supervision is None else self._supervision.measured()

    def cpu_time_s(self) -> float:
        """Return the processor seconds of this process and all its workers so far; never falls."""
        # `process_time` leaves out child processes.
        workers_s = 0.0 if self._supervision is None else self._supervision.cpu_time_s()
        return time.process_time() + workers_s

    def _caps(self) -> "Caps":
        from agent.supervisor.watchdog import Caps

        limits = self._limits()
        return Caps(limits.cpu_percent, limits.memory_mib << 20)

    def _note_stop(self, event: "StopEvent") -> None:
        # Runs in the governor's thread, once for each stop.
        self.last_stop = StopView(
            at=self._clock.now(),
            limit=event.limit.value,
            value=event.value,
            cap=event.cap,
            unit=event.unit,
            after_s=event.after_s,
            action=event.action.value,
            text=str(event),
        )
