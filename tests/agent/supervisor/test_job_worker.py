"""Each call is one request, and its events become one result or one error."""

import json
from pathlib import Path

import pytest

from agent.errors import InternalError, UserActionError
from agent.privacy.plan import plan_local
from agent.protocol.jobs import (
    Checkpointed,
    ExtractedRow,
    Job,
    LabelledRow,
    ModelFiles,
    RefusedInput,
    Scanned,
    ScannedFiles,
    ScanResult,
    Sealed,
    Table,
    TrainResult,
    Verdict,
    VerdictBounds,
)
from agent.supervisor.job_worker import JobWorker
from tests.fakes.aggregator import TASK
from tests.fakes.rounds import round_identity

ROW = ExtractedRow("/a.exe", "00" * 32, tuple(range(29)))
REFUSED = RefusedInput("/b.exe", "NOT_PE", "not a PE file")
LABELLED = LabelledRow(tuple(range(29)), 1)


class Scripted(JobWorker):
    """Records requests and answers each with the given events."""

    def __init__(self, *events):
        self.events, self.requests = list(events), []

    async def _run(self, request, report=None):
        self.requests.append(request)
        return self.events

    async def stop(self, jobs=tuple(Job)):
        pass

    def suspend(self):
        pass

    def resume(self):
        pass


def train(worker, job=Job.TRAIN):
    return worker.train(
        TASK, ModelFiles(b"model", b"base"), b"rows", b"labels", "/scratch", b"key", job=job
    )


async def test_extraction_returns_rows_and_refusals_apart():
    result = await (worker := Scripted(ROW, REFUSED)).extract(["a.exe", "/b.exe"])
    assert (result.rows, result.refused) == ((ROW,), (REFUSED,))
    (request,) = worker.requests
    assert request.header["job"] == Job.EXTRACT
    assert json.loads(request.parts[0]) == [f"{Path.cwd()}/a.exe", "/b.exe"]


async def test_an_import_returns_the_rows_of_its_table():
    result = await (worker := Scripted(Table((LABELLED,)), REFUSED)).import_table("table.npz")
    assert (result.rows, result.refused) == ((LABELLED,), (REFUSED,))
    assert worker.requests[0].header == {"job": Job.IMPORT, "path": f"{Path.cwd()}/table.npz"}


async def test_a_scan_returns_a_result_for_each_file():
    first, second = (Scanned(f"/{name}.exe", Verdict.BENIGN, 0.1) for name in "ab")
    bounds = VerdictBounds(0.5, 0.8, None)
    worker = Scripted(bounds, ScannedFiles((first,)), ScannedFiles((second,)))
    result = await worker.scan(["/a.exe"], ModelFiles(b"model", b"base"))
    assert result == ScanResult((first, second), bounds)
    assert worker.requests[0].parts[1:] == (b"model", b"base")


@pytest.mark.parametrize("job", [Job.TRAIN, Job.EXAMPLE])
async def test_a_training_sends_its_secrets_as_parts_never_in_the_header(job):
    result = await train(worker := Scripted(TrainResult(10, 0.5)), job)
    assert result == TrainResult(10, 0.5)
    (request,) = worker.requests
    assert request.header == {"job": job, "task": TASK.to_json(), "scratch": "/scratch"}
    assert request.parts == (b"model", b"base", b"rows", b"labels", b"key")


async def test_a_checkpoint_interrupts_the_training():
    with pytest.raises(UserActionError) as raised:
        await train(Scripted(Checkpointed(7)))
    assert raised.value.code == "TRAINING_INTERRUPTED"


async def test_a_seal_returns_the_envelope():
    config = plan_local(TASK, round_identity(), rho_units_per_round=2**40 // 200)
    body = await (worker := Scripted(Sealed(b"body"))).seal(config, "/scratch", b"key", "ab")
    assert body == b"body"
    header = {"job": Job.SEAL, "config": config.to_json(), "scratch": "/scratch", "attempt": "ab"}
    assert (worker.requests[0].header, worker.requests[0].parts) == (header, (b"key",))


@pytest.mark.parametrize("events", [(), (TrainResult(1, 0.1), TrainResult(2, 0.1)), (ROW,)])
async def test_a_worker_that_returns_no_single_result_is_at_fault(events):
    with pytest.raises(InternalError) as raised:
        await train(Scripted(*events))
    assert raised.value.code == "WORKER_FAULT"
