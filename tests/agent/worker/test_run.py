"""Every job ends in events: what goes wrong is the last of them, with a code, and never an
exception.
"""

import json

import pytest

from agent.errors import AegisError
from agent.protocol.jobs import Job
from agent.protocol.pipe import Frame
from agent.worker import scan as scan_job
from agent.worker.run import run

SCAN = Frame(
    {"job": "scan", "skipped": {}, "family": "logistic/1", "base_weight_milli": 0},
    (b"[]", b"", b""),
)


@pytest.mark.parametrize(
    "request_frame",
    [
        Frame({}),
        Frame({"job": "dance"}),
        Frame({"job": None}),
        Frame({"job": ["scan"]}),
        Frame({"job": "extract", "skipped": {}}),
        Frame({"job": "extract", "skipped": {}}, (b"not json",)),
        Frame({"job": "extract"}, (b"[]",)),
        Frame({"job": "extract", "skipped": {}}, (b"5",)),
        Frame({"job": "extract", "skipped": None}, (json.dumps(["/none"]).encode(),)),
        Frame({"job": "import"}),
        Frame({"job": "train", "task": {}, "scratch": "/none"}, (b"", b"")),
        Frame({"job": "seal"}, (b"",)),
    ],
    ids=lambda frame: str(dict(frame.header)),
)
def test_p11_a_request_in_another_form_is_refused(request_frame):
    (error,) = run(request_frame)
    assert isinstance(error, AegisError)
    assert error.code == "BAD_JOB"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (OSError(28, "No space left on device"), "SCRATCH_FAILED"),
        (MemoryError(), "MEMORY_LIMIT"),
        (ValueError("odd"), "BAD_JOB"),
        (ZeroDivisionError("odd"), "WORKER_FAULT"),
        (RecursionError("deep"), "WORKER_FAULT"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_p11_a_fault_becomes_one_coded_event_after_what_was_said_before(monkeypatch, fault, code):
    def failing(*_, **__):
        yield "said before"
        raise fault

    monkeypatch.setattr(scan_job, "scan", failing)
    first, error = run(SCAN)
    assert first == "said before"
    assert (error.code, bool(error.message), bool(error.remedy)) == (code, True, True)


def test_p12_a_faults_detail_is_short(monkeypatch):
    def failing(*_):
        raise ArithmeticError("x" * 10_000)

    monkeypatch.setattr(scan_job, "scan", failing)
    (error,) = run(SCAN)
    assert len(error.detail) <= 200


def test_every_job_is_known():
    codes = {job: [error.code for error in run(Frame({"job": job.value}))] for job in Job}
    assert codes == {
        job: ["BAD_JOB"] for job in Job
    }  # the job is found; only its parts are missing
