"""A worker in a thread, for simulated devices: they have generated rows and open no files."""

import asyncio
import threading
from collections.abc import Collection

from agent.errors import AegisError, UserActionError
from agent.protocol.jobs import Done, Event, Job, Opening, Progress
from agent.protocol.pipe import Frame
from agent.supervisor.job_worker import JobWorker, Report


class InProcessWorker(JobWorker):
    """Runs the same jobs in a thread of this process, without a sandbox."""

    def __init__(self) -> None:
        # A count and not a flag: a stop ends the jobs that run, and none that starts later.
        self._stops = 0
        self._may_continue = threading.Event()
        self._may_continue.set()

    async def stop(self, jobs: Collection[Job] = tuple(Job)) -> None:  # noqa: ARG002 - a simulated device runs only the jobs of its cycle
        """End the running job after its current step; its call raises WORKER_STOPPED."""
        self._stops += 1
        # A suspended training has to run on to the end of its step to notice.
        self._may_continue.set()

    def suspend(self) -> None:
        """Suspend training after its current step."""
        self._may_continue.clear()

    def resume(self) -> None:
        self._may_continue.set()

    async def _run(self, request: Frame, report: Report | None = None) -> list[Event]:  # noqa: ARG002 - nobody waits for a simulated device
        return await asyncio.to_thread(
            self._collect, Frame({"skipped": {}, **request.header}, request.parts), self._stops
        )

    def _collect(self, request: Frame, stops_before: int) -> list[Event]:
        # Imports numpy: only once there is something to train.
        from agent.worker.run import run

        events: list[Event] = []
        for event in run(request, self._after_step):
            if self._stops != stops_before:
                raise UserActionError(
                    "WORKER_STOPPED",
                    "The work was stopped before it was finished.",
                    "Start it again.",
                )
            if isinstance(event, AegisError):
                raise event
            if not isinstance(event, Opening | Progress | Done):
                events.append(event)
        return events

    def _after_step(self) -> bool:
        self._may_continue.wait()
        return False
