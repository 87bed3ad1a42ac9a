"""What the agent needs of a worker: one call for each job, and a switch for training."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from agent.protocol.jobs import (
    CollectResult,
    ExtractResult,
    ImportResult,
    Job,
    ModelFiles,
    Progress,
    ScanResult,
    TrainResult,
)
from agent.protocol.messages import RoundConfig, Task


class Worker(Protocol):
    """Every call may raise AegisError, and ends when its task is cancelled or `stop` is called."""

    async def extract(self, paths: Sequence[str]) -> ExtractResult: ...

    async def collect(self, request: Mapping[str, Any], key: bytes) -> CollectResult: ...

    async def import_table(self, path: str) -> ImportResult: ...

    async def scan(
        self,
        paths: Sequence[str],
        model: ModelFiles,
        report: Callable[[Progress], None] | None = None,
    ) -> ScanResult: ...

    async def train(
        self,
        task: Task,
        model: ModelFiles,
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
        """End the running work on these jobs."""

    def suspend(self) -> None:
        """Suspend training at once, until `resume`; other jobs continue."""

    def resume(self) -> None: ...
