"""Runs each job of a worker in a process of its own, which is watched, bounded and ended.

1. A job is one child process: its own session, closed descriptors, a fixed environment. It enters
   its sandbox before it reads anything.
2. Everything that the child sends is checked (agent.protocol.jobs.read_event) and bounded in bytes.
   A child that floods, stalls or dies is one error.
3. A child that dies or stalls on a file costs that file: the job runs again without it, up to
   MAX_RESTARTS times. A scan names its files only once a child was lost, because that takes time.
4. When the call ends, however it ends, the child and all it started are gone.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TypeVar

from agent.errors import AegisError, InternalError, UserActionError
from agent.protocol.jobs import (
    Attempted,
    Confined,
    Done,
    EscapeResult,
    Event,
    Job,
    Opening,
    Progress,
    read_event,
)
from agent.protocol.pipe import Frame, FrameDecoder, encode
from agent.sandbox.environment import environment
from agent.supervisor import reaper
from agent.supervisor.early_child import (
    SCAN_MEMORY_MIB,
    AdoptedChild,
    EarlyChild,
    worker_command,
)
from agent.supervisor.governor import Governor
from agent.supervisor.job_worker import JobWorker, Report
from agent.supervisor.supervision import Supervision
from agent.supervisor.watchdog import Action, Caps, StopEvent

SILENCE_S = 30.0
"""A child that sends nothing for this long at full speed hangs: a file takes a millisecond, a step
of training less than a second."""
MAX_RECEIVED_BYTES = 256 * 1024 * 1024
"""The most that one job may send."""
MAX_RESTARTS = 8
"""The number of files that may crash their process before the job fails."""
EXIT_S = 2.0
MEMORY_MIB = {
    Job.EXTRACT: 1024,
    Job.COLLECT: 2048,
    Job.IMPORT: 2048,
    Job.SCAN: SCAN_MEMORY_MIB,
    Job.TRAIN: 3072,
    Job.EXAMPLE: 3072,
    Job.SEAL: 1024,
    Job.ESCAPE: 512,
}
"""Address space, not memory in use, which the governor bounds: libraries map far more than they
touch."""
_READ_BYTES = 256 * 1024
T = TypeVar("T")
Child = asyncio.subprocess.Process | AdoptedChild


class ProcessWorker(JobWorker):
    """A worker (agent.supervisor.worker.Worker) that starts a child process for each job."""

    def __init__(
        self,
        scratch: Path,
        supervision: Supervision | None = None,
        *,
        progress: Report = lambda _: None,
        silence_s: float = SILENCE_S,
        command: Sequence[str] = (),
        slot: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
        records: Path | None = None,
    ) -> None:
        """`scratch`: the folder that children work in. `supervision` enforces the person's limits.
        `slot` is entered for training. `records`: the folder where `reaper` records a running
        training; None records nothing.
        """
        self._scratch = scratch
        self._supervision = supervision or Supervision(Caps(None, MEMORY_MIB[Job.TRAIN] << 20))
        self._progress = progress
        self._silence_s = silence_s
        self._command = command or worker_command()
        self._slot = slot
        self._records = records
        self._running: dict[Child, tuple[Job, Governor]] = {}
        self._early: dict[Job, Child] = {}
        """Children that wait for their first request."""

    async def attempt_escape(self, person_home: str, database: str) -> EscapeResult:
        """Let a child try to break out of the widest sandbox that a job has, without harm."""
        header = {
            "job": Job.ESCAPE,
            "agent_pid": os.getpid(),
            "person_home": person_home,
            "database": database,
            "scratch": os.fspath(self._scratch / "escape"),
        }
        events = await self._run(Frame(header))
        return EscapeResult(
            tuple(rule for event in events if isinstance(event, Confined) for rule in event.rules),
            tuple(event for event in events if isinstance(event, Attempted)),
        )

    async def stop(self, jobs: Collection[Job] = tuple(Job)) -> None:
        """Kill the children with these jobs now and wait until they are gone."""
        running = [
            (child, governor) for child, (job, governor) in self._running.items() if job in jobs
        ]
        # All of them first: `stop` promises that every child is dead at once.
        for child, governor in running:
            del self._running[child]
            governor.kill()
        early = [self._early.pop(job) for job in list(self._early) if job in jobs]
        for child in early:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        for child in (*(child for child, _ in running), *early):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXIT_S):
                    await child.wait()

    def suspend(self) -> None:
        self._supervision.suspend()

    def resume(self) -> None:
        self._supervision.resume()

    async def _run(self, request: Frame, report: Report | None = None) -> list[Event]:
        report = report or self._progress
        if Job(request.header["job"]) is not Job.TRAIN:
            return await self._run_without_bad_files(request, report)
        async with self._slot():
            return await self._run_without_bad_files(request, report)

    async def _run_without_bad_files(self, request: Frame, report: Report) -> list[Event]:
        """Run a request again without each file that its process dies or stalls on."""
        skipped: dict[str, str] = {}
        careful = Job(request.header["job"]) is not Job.SCAN
        while True:  # ends after MAX_RESTARTS skipped files
            header = {**request.header, "skipped": skipped, "careful": careful}
            try:
                return await self._run_child(Frame(header, request.parts), report)
            except _LostError as lost:
                if not careful:  # the next run names each file before it opens it
                    careful = True
                    continue
                # Without progress since the last try there is no hope in another one.
                if not lost.opening or lost.opening in skipped or len(skipped) == MAX_RESTARTS:
                    raise lost.error from None
                skipped[lost.opening] = lost.code

    async def _run_child(self, request: Frame, report: Report) -> list[Event]:
        """Run one child from its start to its end."""
        async with self._child(Job(request.header["job"])) as (child, governor):
            try:
                await self._send(child, request)
                return await self._receive(child, governor, report)
            except _LostError as lost:
                # A child that was ended on purpose looks like a crash from here.
                if child not in self._running:
                    raise UserActionError(
                        "WORKER_STOPPED",
                        "The work was stopped before it was finished.",
                        "Start it again.",
                    ) from None
                if governor.stopped is not None:
                    raise _limit_error(governor.stopped) from None
                raise lost

    async def start_early(self, job: Job) -> None:
        """Start the child of the next request of this job: it loads Python until it is asked."""
        self._early[job] = await self._start(job)

    async def adopt(self, job: Job, child: EarlyChild) -> None:
        """Use a child that was started already for the next request of this job."""
        self._early[job] = await child.adopted(_READ_BYTES)

    async def _start(self, job: Job) -> asyncio.subprocess.Process:
        percent = self._supervision.caps_of(job, MEMORY_MIB[job]).cpu_percent or 100
        return await asyncio.create_subprocess_exec(
            *self._command, str(os.getpid()), str(MEMORY_MIB[job]), str(percent),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._scratch, env=environment(os.environ), start_new_session=True,
            limit=_READ_BYTES,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def _child(self, job: Job) -> AsyncIterator[tuple[Child, Governor]]:
        child = self._early.pop(job, None) or await self._start(job)
        # Only a training lasts long enough, and takes enough, to matter when its agent is killed.
        records = self._records if job is Job.TRAIN else None
        if records is not None:
            reaper.record(records, child.pid)
        governor = self._supervision.watch(
            child.pid, job, MEMORY_MIB[job], partial(_send_limit, child)
        )
        self._running[child] = (job, governor)
        try:
            yield child, governor
        finally:
            self._running.pop(child, None)
            governor.kill()
            governor.close()
            # Shielded: a cancelled call too must not leave a zombie behind.
            await asyncio.shield(child.wait())
            if records is not None:
                reaper.remove_record(records, child.pid)

    async def _send(self, child: Child, request: Frame) -> None:
        """Send the request. If the child has died, `_receive` notices."""
        assert child.stdin is not None  # noqa: S101 - it was started with a pipe
        with contextlib.suppress(ConnectionError):
            child.stdin.write(encode(request))
            await self._before_silence(child.stdin.drain, "", None)

    async def _receive(self, child: Child, governor: Governor, report: Report) -> list[Event]:
        """Return all events up to the last, without those of progress."""
        assert child.stdout is not None  # noqa: S101 - it was started with a pipe
        events: list[Event] = []
        decoder, opening, received_bytes = FrameDecoder(), "", 0
        while chunk := await self._before_silence(
            partial(child.stdout.read, _READ_BYTES), opening, governor
        ):
            received_bytes += len(chunk)
            if received_bytes > MAX_RECEIVED_BYTES:
                raise _LostError("", "", _flooded())
            for event in map(read_event, decoder.feed(chunk)):
                # `Done` and not the end of the stream: a child may linger while it frees memory.
                if isinstance(event, Done):
                    return events
                if isinstance(event, AegisError):
                    raise event
                if isinstance(event, Opening):
                    opening = event.path
                elif isinstance(event, Progress):
                    report(event)
                else:
                    events.append(event)
        raise _LostError(opening, "PARSER_CRASHED", _crashed())

    async def _before_silence(
        self, act: Callable[[], Awaitable[T]], opening: str, governor: Governor | None
    ) -> T:
        """Wait for the child; raise _LostError if it stays silent for too long.

        A small share of the processor makes it slower, and while suspended it cannot answer at all.
        """
        while True:
            share = governor.share if governor else 1.0
            try:
                # Not wait_for: up to Python 3.11 it can swallow the cancellation of this call.
                async with asyncio.timeout(self._silence_s / share):
                    return await act()
            except TimeoutError:
                if governor is None or not governor.is_suspended:
                    raise _LostError(opening, "TOO_SLOW", _silent()) from None


class _LostError(Exception):
    """A child died, stalled or flooded.

    `opening` is the file that it was working on, and `code` what that file is then refused with.
    """

    def __init__(self, opening: str, code: str, error: AegisError) -> None:
        super().__init__(code)
        self.opening, self.code, self.error = opening, code, error


def _flooded() -> AegisError:
    text = f"The worker sent more than {MAX_RECEIVED_BYTES >> 20} MiB."
    return InternalError("WORKER_FLOODED", text, "Nothing was kept. Report this.")


def _crashed() -> AegisError:
    text = "The worker ended before its work was done."
    return InternalError("WORKER_CRASHED", text, "Try again.")


def _silent() -> AegisError:
    text = "The worker stopped responding and was ended."
    return InternalError("WORKER_SILENT", text, "Try again.")


def _limit_error(event: StopEvent) -> AegisError:
    """Return the error of a worker that a limit ended; with a checkpoint nothing is lost."""
    code = "TRAINING_INTERRUPTED" if event.action is Action.ENDED else "WORKER_LIMIT"
    return UserActionError(code, str(event), "Raise the limit or try again later.")


def _send_limit(child: Child, cpu_percent: int) -> None:
    """Send the new limit, one byte after the request.

    It only sets the pace that the worker keeps by itself; the governor enforces the limit.
    """
    if child.stdin is not None and not child.stdin.is_closing():
        child.stdin.write(bytes([cpu_percent]))
