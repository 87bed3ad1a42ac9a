"""Translates each call of a worker into a request, and the events that follow into a result."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from agent.errors import InternalError, UserActionError
from agent.protocol.jobs import (
    Checkpointed,
    Collected,
    CollectResult,
    Contradicted,
    Event,
    ExtractedRow,
    ExtractResult,
    ImportResult,
    Job,
    ModelFiles,
    Progress,
    RefusedInput,
    ScannedFiles,
    ScanResult,
    Sealed,
    Searched,
    Table,
    TrainResult,
    Unread,
    VerdictBounds,
)
from agent.protocol.pipe import Frame

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig, Task

T = TypeVar("T")
Report = Callable[[Progress], None]


class JobWorker(ABC):
    """A worker (agent.supervisor.worker.Worker) whose subclass runs the requests."""

    @abstractmethod
    async def _run(self, request: Frame, report: Report | None = None) -> list[Event]:
        """Run a request and return its events, without those of progress: `report` receives them
        where it is given.
        """

    @abstractmethod
    async def stop(self, jobs: Collection[Job] = tuple(Job)) -> None:
        """End the running work on these jobs."""

    @abstractmethod
    def suspend(self) -> None: ...

    @abstractmethod
    def resume(self) -> None: ...

    async def extract(self, paths: Sequence[str]) -> ExtractResult:
        """Return the rows of the executables among `paths`, and why the other files have none."""
        events = await self._run(Frame({"job": Job.EXTRACT}, (_absolute(paths),)))
        return ExtractResult(_all(ExtractedRow, events), _all(RefusedInput, events))

    async def collect(self, request: Mapping[str, Any], key: bytes) -> CollectResult:
        """Return what switched sources know about programs in chosen folders.

        `request`: folders and sources, as agent.worker.collect.read_request reads them; absolute
        paths. `key`: 32 bytes, for the digests. Slow enough for the person's limits, and
        suspended with training.
        """
        asked = json.dumps(request).encode()
        events = await self._run(Frame({"job": Job.COLLECT}, (asked, key)))
        return CollectResult(
            _all(Collected, events),
            tuple(one.digest for one in _all(Contradicted, events)),
            next(iter(_all(Searched, events)), None),
            _all(Unread, events),
        )

    async def import_table(self, path: str) -> ImportResult:
        """Return the rows of an .npz table. Raises PeerError BAD_TABLE."""
        header = {"job": Job.IMPORT, "path": os.path.abspath(path)}  # noqa: PTH100 - paths stay text
        events = await self._run(Frame(header))
        return ImportResult(_one(Table, events).rows, _all(RefusedInput, events))

    async def scan(
        self, paths: Sequence[str], model: ModelFiles, report: Report | None = None
    ) -> ScanResult:
        """Return a result for every file that is named or lies below a named folder.

        `report` receives how many of the files are done. Raises PeerError MODEL_WRONG_SHAPE,
        MODEL_NOT_FINITE.
        """
        header = {
            "job": Job.SCAN,
            "family": model.family,
            "base_weight_milli": model.base_weight_milli,
        }
        events = await self._run(Frame(header, (_absolute(paths), model.head, model.base)), report)
        blocks = _all(ScannedFiles, events)
        return ScanResult(
            tuple(file for block in blocks for file in block.files), _one(VerdictBounds, events)
        )

    async def train(
        self,
        task: "Task",
        model: ModelFiles,
        rows: bytes,
        labels: bytes,
        scratch: str,
        job_key: bytes,
        *,
        job: Job = Job.TRAIN,
    ) -> TrainResult:
        """Leave the clipped update in the file `scratch`, encrypted under `job_key`.

        Continues from a checkpoint that an earlier call left there. `job` EXAMPLE trains at full
        speed and at once, even while training is suspended.

        Raises UserActionError TRAINING_INTERRUPTED after a checkpoint, and as
        agent.worker.train.train does.
        """
        events = await self._run(
            Frame(
                {"job": job, "task": task.to_json(), "scratch": scratch},
                (model.head, model.base, rows, labels, job_key),
            )
        )
        if _all(Checkpointed, events):
            raise UserActionError(
                "TRAINING_INTERRUPTED",
                "Training was interrupted, and its progress was saved.",
                "It continues from there.",
            )
        return _one(TrainResult, events)

    async def seal(
        self, config: "RoundConfig", scratch: str, job_key: bytes, attempt: str
    ) -> bytes:
        """Return the envelope of the update in `scratch`, sealed for one round."""
        header = {
            "job": Job.SEAL,
            "config": config.to_json(),
            "scratch": scratch,
            "attempt": attempt,
        }
        return _one(Sealed, await self._run(Frame(header, (job_key,)))).body


def _absolute(paths: Sequence[str]) -> bytes:
    """Encode paths for a worker in another folder, as a part of the frame: there may be many."""
    return json.dumps([os.path.abspath(path) for path in paths]).encode()  # noqa: PTH100 - paths stay text


def _all(kind: type[T], events: Iterable[object]) -> tuple[T, ...]:
    return tuple(event for event in events if isinstance(event, kind))


def _one(kind: type[T], events: Iterable[object]) -> T:
    found = _all(kind, events)
    if len(found) != 1:
        raise InternalError(
            "WORKER_FAULT",
            "The worker did not return exactly one result.",
            "Nothing was changed. Report this.",
            f"{len(found)} × {kind.__name__}",
        )
    return found[0]
