"""The agent's side of a worker: the jobs as calls, each in a process of its own that is watched,
bounded and ended.

1. A job is one child process: own session, closed descriptors, fixed environment. It enters the
   sandbox before it reads anything.
2. Everything it says is checked (agent.protocol.jobs.read_event) and bounded in bytes; a child that
   floods, stalls or dies is one error.
3. A child that dies or stalls on a file costs that file: the job is run again without it, a few
   times.
4. When the call ends, however it ends, the child and all it started are gone.
"""

import asyncio
import contextlib
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from agent.errors import AegisError, InternalError, UserActionError
from agent.protocol.jobs import (
    Checkpointed,
    Done,
    Event,
    ExtractedRow,
    ExtractResult,
    ImportResult,
    Job,
    Opening,
    Progress,
    RefusedInput,
    Scanned,
    ScanResult,
    Sealed,
    Table,
    TrainResult,
    read_event,
)
from agent.protocol.messages import RoundConfig, Task
from agent.protocol.pipe import Frame, FrameDecoder, encode
from agent.sandbox.rules import environment
from agent.supervisor import reaper
from agent.supervisor.governor import Governor
from agent.supervisor.supervision import Supervision
from agent.supervisor.watchdog import Action, Caps

SILENCE_S = 30.0
"""A child that says nothing for so long (at full speed) hangs; one file takes a millisecond, one
training pass less than a second."""
MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""All that one job may say."""
MAX_RESTARTS = 8
"""Files that may take their process down before the job is given up."""
EXIT_S = 2.0
MEMORY_MIB = {
    Job.EXTRACT: 1024,
    Job.IMPORT: 2048,
    Job.SCAN: 1024,
    Job.TRAIN: 3072,
    Job.EXAMPLE: 3072,
    Job.SEAL: 1024,
}
"""Address space, not memory in use (that is the governor's): libraries map far more than they
touch."""
_READ_BYTES = 256 * 1024
T = TypeVar("T")


class Worker(Protocol):
    """What the agent asks of its worker.

    Every call may raise AegisError, and ends when its task is cancelled or `stop` is called.
    """

    async def extract(self, paths: Sequence[str]) -> ExtractResult: ...

    async def import_table(self, path: str) -> ImportResult: ...

    async def scan(self, paths: Sequence[str], model: bytes) -> ScanResult: ...

    async def train(
        self,
        task: Task,
        model: bytes,
        rows: bytes,
        labels: bytes,
        scratch: str,
        job_key: bytes,
        *,
        job: Job = Job.TRAIN,
    ) -> TrainResult: ...

    async def seal(
        self, config: RoundConfig, scratch: str, job_key: bytes, attempt: str
    ) -> bytes: ...

    async def stop(self, jobs: Collection[Job] = tuple(Job)) -> None:
        """End what is under way of these jobs."""

    def hold(self) -> None:
        """Suspend training at once, until `release`; other jobs go on."""

    def release(self) -> None: ...


class Jobs(ABC):
    """The calls in terms of requests and events; how a request is run is the subclass's part."""

    @abstractmethod
    async def _run(self, request: Frame) -> list[Event]: ...

    @abstractmethod
    async def stop(self, jobs: Collection[Job] = tuple(Job)) -> None:
        """End what is under way of these jobs."""

    @abstractmethod
    def hold(self) -> None: ...

    @abstractmethod
    def release(self) -> None: ...

    async def extract(self, paths: Sequence[str]) -> ExtractResult:
        """Rows of the executables among `paths`, and why the others have none."""
        events = await self._run(Frame({"job": Job.EXTRACT, "skipped": {}}, (_paths(paths),)))
        return ExtractResult(_all(ExtractedRow, events), _all(RefusedInput, events))

    async def import_table(self, path: str) -> ImportResult:
        """The rows of an .npz table. Raises PeerError BAD_TABLE."""
        events = await self._run(Frame({"job": Job.IMPORT, "path": os.path.abspath(path)}))  # noqa: PTH100 - paths stay text
        return ImportResult(_one(Table, events).rows, _all(RefusedInput, events))

    async def scan(self, paths: Sequence[str], model: bytes) -> ScanResult:
        """A result for every file named or below a named folder.

        Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
        """
        return ScanResult(
            _all(
                Scanned,
                await self._run(Frame({"job": Job.SCAN, "skipped": {}}, (_paths(paths), model))),
            )
        )

    async def train(
        self,
        task: Task,
        model: bytes,
        rows: bytes,
        labels: bytes,
        scratch: str,
        job_key: bytes,
        *,
        job: Job = Job.TRAIN,
    ) -> TrainResult:
        """Leave the clipped update in the file `scratch`. Goes on from a checkpoint that an earlier
        call left there.

        `job` EXAMPLE: at full speed, at once, and whatever holds training back.

        Raises UserActionError TRAINING_INTERRUPTED after a checkpoint, and as
        agent.worker.train.train does.
        """
        request = Frame(
            {"job": job, "task": task.to_json(), "scratch": scratch}, (model, rows, labels, job_key)
        )
        events = await self._run(request)
        if _all(Checkpointed, events):
            raise UserActionError(
                "TRAINING_INTERRUPTED",
                "Training was interrupted and kept.",
                "It goes on where it was.",
            )
        return _one(TrainResult, events)

    async def seal(self, config: RoundConfig, scratch: str, job_key: bytes, attempt: str) -> bytes:
        """The envelope of the update in `scratch`, sealed for one round."""
        header = {
            "job": Job.SEAL,
            "config": config.to_json(),
            "scratch": scratch,
            "attempt": attempt,
        }
        return _one(Sealed, await self._run(Frame(header, (job_key,)))).body


class ProcessWorker(Jobs):
    """Runs each job in a child process."""

    def __init__(
        self,
        scratch: Path,
        supervision: Supervision | None = None,
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        silence_s: float = SILENCE_S,
        command: Sequence[str] = (),
        slot: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
        records: Path | None = None,
    ) -> None:
        """`scratch`: the folder that children work in. `supervision` holds them to the person's
        limits. `slot` is entered for training.

        `records`: the folder where a training is on record while it runs, so that none outlives a
        killed agent.
        """
        self._records = records
        self._scratch = scratch
        self._slot = slot
        self._supervision = supervision or Supervision(Caps(None, MEMORY_MIB[Job.TRAIN] << 20))
        self._progress = progress
        self._silence_s = silence_s
        self._command = command or worker_command()
        self._running: dict[asyncio.subprocess.Process, tuple[Job, Governor]] = {}

    async def stop(self, jobs: Collection[Job] = tuple(Job)) -> None:
        """Kill the children with these jobs now and wait until they are gone."""
        running = [
            (child, governor) for child, (job, governor) in self._running.items() if job in jobs
        ]
        for child, governor in running:
            del self._running[child]
            governor.kill()
        for child, _ in running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), EXIT_S)

    def hold(self) -> None:
        self._supervision.hold()

    def release(self) -> None:
        self._supervision.release()

    async def _run(self, request: Frame) -> list[Event]:
        if Job(request.header["job"]) is not Job.TRAIN:
            return await self._patient(request)
        async with self._slot():
            return await self._patient(request)

    async def _patient(self, request: Frame) -> list[Event]:
        """Run it, without the files that take their process down."""
        skipped: dict[str, str] = {}
        while True:
            try:
                return await self._once(
                    Frame({**request.header, "skipped": skipped}, request.parts)
                )
            except _LostError as lost:
                if not lost.opening or lost.opening in skipped or len(skipped) == MAX_RESTARTS:
                    raise lost.error from None
                skipped[lost.opening] = lost.code

    async def _once(self, request: Frame) -> list[Event]:
        """One child from start to end."""
        async with self._child(Job(request.header["job"])) as (child, governor):
            try:
                await self._tell(child, request)
                return await self._listen(child, governor)
            except _LostError as lost:
                if child not in self._running:
                    raise UserActionError(
                        "WORKER_STOPPED",
                        "The work was stopped before it was finished.",
                        "Start it again.",
                    ) from None
                if (stopped := governor.stopped) is not None:
                    code = (
                        "TRAINING_INTERRUPTED" if stopped.action is Action.ENDED else "WORKER_LIMIT"
                    )
                    raise UserActionError(
                        code, str(stopped), "Raise the limit or try again later."
                    ) from None
                raise lost

    @contextlib.asynccontextmanager
    async def _child(self, job: Job) -> AsyncIterator[tuple[asyncio.subprocess.Process, Governor]]:
        percent = self._supervision.caps_of(job, MEMORY_MIB[job]).cpu_percent or 100
        child = await asyncio.create_subprocess_exec(
            *self._command, str(os.getpid()), str(MEMORY_MIB[job]), str(percent),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._scratch, env=environment(os.environ), start_new_session=True,
            limit=_READ_BYTES,
        )  # fmt: skip
        recorded = self._records if job is Job.TRAIN else None
        if recorded is not None:
            reaper.note(recorded, child.pid)
        governor = self._supervision.watch(
            child.pid, job, MEMORY_MIB[job], partial(_tell_limit, child)
        )
        self._running[child] = (job, governor)
        try:
            yield child, governor
        finally:
            self._running.pop(child, None)
            governor.kill()
            governor.close()
            await asyncio.shield(child.wait())
            if recorded is not None:
                reaper.strike_off(recorded, child.pid)

    async def _tell(self, child: asyncio.subprocess.Process, request: Frame) -> None:
        """Send the request; a child that died meanwhile is noticed by who listens."""
        assert child.stdin is not None  # noqa: S101 - it was started with a pipe
        with contextlib.suppress(ConnectionError):
            child.stdin.write(encode(request))
            await self._patiently(child.stdin.drain, "", None)

    async def _listen(self, child: asyncio.subprocess.Process, governor: Governor) -> list[Event]:
        """All events up to the last."""
        assert child.stdout is not None  # noqa: S101 - it was started with a pipe
        events: list[Event] = []
        decoder, opening, said = FrameDecoder(), "", 0
        while chunk := await self._patiently(
            partial(child.stdout.read, _READ_BYTES), opening, governor
        ):
            said += len(chunk)
            if said > MAX_ANSWER_BYTES:
                raise _LostError(
                    "",
                    "",
                    InternalError(
                        "WORKER_FLOODED", "The worker said more than it may.", "Nothing was kept."
                    ),
                )
            for event in map(read_event, decoder.feed(chunk)):
                if isinstance(event, Done):
                    return events
                if isinstance(event, AegisError):
                    raise event
                if isinstance(event, Opening):
                    opening = event.path
                elif isinstance(event, Progress):
                    self._progress(event)
                else:
                    events.append(event)
        raise _LostError(
            opening,
            "PARSER_CRASHED",
            InternalError(
                "WORKER_CRASHED", "The worker ended before its work was done.", "Try again."
            ),
        )

    async def _patiently(
        self, act: Callable[[], Awaitable[T]], opening: str, governor: Governor | None
    ) -> T:
        """Wait for the child as long as its share of the processor requires; time on hold does not
        count.
        """
        while True:
            try:
                return await asyncio.wait_for(
                    act(), self._silence_s / (governor.share if governor else 1.0)
                )
            except TimeoutError:
                if governor is None or not governor.is_held:
                    error = InternalError(
                        "WORKER_SILENT", "The worker did not go on; it was ended.", "Try again."
                    )
                    raise _LostError(opening, "TOO_SLOW", error) from None


class _LostError(Exception):
    """A child died, stalled or flooded; `opening` is the file that it had in hand, `code` what that
    file is refused with.
    """

    def __init__(self, opening: str, code: str, error: AegisError) -> None:
        super().__init__(code)
        self.opening, self.code, self.error = opening, code, error


def worker_command() -> tuple[str, ...]:
    """How a worker is started: from the installed package, or from the one program that an
    installer put there.
    """
    if getattr(sys, "frozen", False):
        return (sys.executable, "--worker")
    return (sys.executable, "-P", "-m", "agent.worker")


def _tell_limit(child: asyncio.subprocess.Process, cpu_percent: int) -> None:
    """One byte after the request: the new limit.

    It only sets the worker's own pace; the governor enforces.
    """
    if child.stdin is not None and not child.stdin.is_closing():
        child.stdin.write(bytes([cpu_percent]))


def _paths(paths: Sequence[str]) -> bytes:
    """Absolute, because the child works elsewhere; sent as a part, because there may be many."""
    return json.dumps([os.path.abspath(path) for path in paths]).encode()  # noqa: PTH100 - paths stay text


def _all(kind: type[T], events: Iterable[object]) -> tuple[T, ...]:
    return tuple(event for event in events if isinstance(event, kind))


def _one(kind: type[T], events: Iterable[object]) -> T:
    found = _all(kind, events)
    if len(found) != 1:
        raise InternalError(
            "WORKER_FAULT",
            "The worker gave another answer than asked for.",
            "Nothing was changed. Report this.",
        )
    return found[0]
