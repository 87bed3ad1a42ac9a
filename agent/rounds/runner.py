"""Runs cycles for one device, one at a time, and ends the one under way on request.

1. A cycle requested while one is under way joins that one.
2. Whatever ends a cycle wipes the round's secrets first, then stops the worker and closes the
   connection. Last, a group that can go on without this device gets its `leave` (P2).
3. A sending that has begun is finished, unless consent is gone or the program ends.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from agent.consent.gate import Gate, Permit
from agent.errors import AegisError, UserActionError
from agent.protocol.jobs import Job
from agent.protocol.states import LeaveReason
from agent.rounds.activity import ActivityTracker
from agent.rounds.completion import run_to_completion
from agent.rounds.cycle_steps import CycleSteps
from agent.rounds.leave_sender import LeaveNotice, LeaveSender
from agent.rounds.outbox import Outbox
from agent.rounds.outcome import CycleResult, Outcome
from agent.rounds.secagg_round import SecaggRound
from agent.rounds.trainer import Trainer
from agent.rounds.update_store import UpdateStore

if TYPE_CHECKING:
    from agent.supervisor.worker import Worker

log = logging.getLogger(__name__)

T = TypeVar("T")

MANUAL_GROUP_WAIT_S = 180
"""How long the finished update of a cycle that a person started waits for a group to form."""
LEAVE_TIMEOUT_S = 1.0
"""How long quitting waits for a `leave` to arrive."""
END_TIMEOUT_S = 1.0
"""How long ending a cycle waits for its tasks. Their worker and connection are already gone."""


class RoundRunner:
    """Starts, joins and ends cycles."""

    def __init__(
        self,
        *,
        gate: Gate,
        steps: CycleSteps,
        outbox: Outbox,
        secagg: SecaggRound,
        trainer: Trainer,
        updates: UpdateStore,
        activity: ActivityTracker,
        leave_sender: LeaveSender,
        worker: "Callable[[], Worker]",
    ) -> None:
        self._gate = gate
        self._steps = steps
        self._outbox = outbox
        self._secagg = secagg
        self._trainer = trainer
        self._leave_sender = leave_sender
        self._worker = worker
        self._task: asyncio.Task[CycleResult] | None = None
        self._jobs: set[asyncio.Future[Any]] = set()
        """Jobs of `run_until_withdrawn` under way."""
        self._activity = activity
        self.updates = updates

    @property
    def is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    async def run(
        self, *, hold_s: int | None, override: bool = False, group_wait_s: int = 0
    ) -> CycleResult:
        """Run one cycle, or join the one under way.

        `hold_s`: how long a finished update waits at least before it is reported as ready. None:
        not at all, because a person asked for this cycle. `override` sets the person's
        own limits (overridable reasons) aside for this cycle, never consent, policy or budget.
        `group_wait_s`: how long a finished update waits for its join window to be announced before
        the cycle ends READY.

        Raises UserActionError NO_CONSENT, DENIED_BY_POLICY, NOT_ENROLLED and what server, key store
        and worker raise.
        """
        self._gate.permit()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._steps.run(hold_s=hold_s, override=override, group_wait_s=group_wait_s)
            )
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._task.cancelled():
                return _stopped()
            raise
        except UserActionError as error:
            if error.code != "WORKER_STOPPED":
                raise
            return _stopped()  # the worker's end arrived before the cancellation did

    async def run_until_withdrawn(self, permit: Permit, job: Coroutine[Any, Any, T]) -> T:
        """Run a job that needs consent outside a cycle, such as reading files for training.

        A withdrawal ends it. Raises UserActionError NO_CONSENT after a withdrawal, and what the job
        raises.
        """
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            permit.check()
            raise
        finally:
            self._jobs.discard(task)
            permit.check()

    async def stop(self) -> None:
        """End the cycle under way: stop its jobs and close its connection.

        What was charged stays charged.
        """
        await self._wait_for_end(self._cancel_cycle())

    async def recheck(self) -> None:
        """End what is under way when consent or policy is gone; else apply the restrictions."""
        if not self.is_busy and not self._jobs:
            return
        if self._gate.denial() is not None:
            await self.withdraw()
        else:
            self.enforce()

    def enforce(self) -> None:
        """Suspend or resume a training under way, at once, as the restrictions say now."""
        self._trainer.enforce()

    async def pause(self, note: Callable[[], None]) -> None:
        """Suspend training at once, make the pause durable with `note`, then end the cycle.

        Leaves a group that can go on without this device. Finishes a sending that has begun.
        """
        self._trainer.suspend()
        try:
            note()
            if not self._is_submitting:
                await self._leave(LeaveReason.PAUSED)
        finally:
            self.enforce()

    async def quit(self) -> None:
        """End everything; wait up to LEAVE_TIMEOUT_S for a `leave` to arrive."""
        if self._secagg.may_leave:
            await self._leave(LeaveReason.QUIT)
        await self.stop()
        await self._leave_sender.flush(LEAVE_TIMEOUT_S)

    async def finish_sending(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the end of a sending that has begun."""
        if self._is_submitting and self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout_s)

    async def withdraw(self) -> None:
        """Consent is gone: leave the group, stop, empty the outbox, delete the update (P2)."""
        notice = self._secagg.leave(LeaveReason.WITHDRAWN)
        await run_to_completion(
            self._withdraw(notice, [*self._cancel_jobs(), *self._cancel_cycle()])
        )

    async def finish_withdrawal(self) -> None:
        """Remove the updates that a withdrawal could not: the disk was full, or its mark is unread.

        Call it before a new yes, which must not send what the old one made. Raises UserActionError
        DISK_FULL and the like.
        """
        await self.withdraw()
        if self._outbox.has_unsent:
            self._outbox.withdraw()

    async def _withdraw(
        self, notice: LeaveNotice | None, cancelled: "list[asyncio.Future[Any]]"
    ) -> None:
        await self._wait_for_end(cancelled)
        if notice is not None:
            self._leave_sender.send_soon(notice)
        for remove in (self._outbox.withdraw, self.updates.discard):
            try:
                remove()
            except AegisError as error:
                # The gate keeps them from being used; the next start removes them.
                log.warning("withdrawal.left code=%s", error.code)

    async def discard(self) -> None:
        """Delete the finished update, or end the training that would make one.

        Leaves a group that can go on without this device. An update that is already charged is sent
        first, then deleted.
        """
        if self._is_submitting:
            self.updates.discard_when_settled()
            return
        if self.is_busy:
            await self._leave(LeaveReason.DISCARDED)
        self.updates.discard()

    @property
    def _is_submitting(self) -> bool:
        """Whether a sending has begun that must be finished (rule 3)."""
        return self._secagg.is_committed or (self._activity.is_sending and not self._secagg.is_busy)

    async def _leave(self, reason: LeaveReason) -> None:
        """End the cycle: wipe the round's secrets first, send its `leave` last (rule 2)."""
        notice = self._secagg.leave(reason)
        await self._wait_for_end(self._cancel_cycle())
        if notice is not None:
            self._leave_sender.send_soon(notice)

    def _cancel_cycle(self) -> "list[asyncio.Future[Any]]":
        if self._task is None or self._task.done():
            return []
        self._task.cancel()
        return [self._task]

    def _cancel_jobs(self) -> "list[asyncio.Future[Any]]":
        jobs = list(self._jobs)
        for task in jobs:
            task.cancel()
        return jobs

    async def _wait_for_end(self, cancelled: "list[asyncio.Future[Any]]") -> None:
        if not cancelled:
            return
        # Only the jobs of a cycle: a scan goes on, and reading files ends with its task.
        await self._worker().stop((Job.TRAIN, Job.COLLECT, Job.SEAL))
        self._steps.disconnect()
        await asyncio.wait(cancelled, timeout=END_TIMEOUT_S)


def _stopped() -> CycleResult:
    return CycleResult(Outcome.STOPPED, "The cycle was stopped.")
