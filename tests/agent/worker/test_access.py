"""A job may open what its request names, and nothing for a request that makes no sense."""

import json

import pytest

from agent.protocol.jobs import Job
from agent.protocol.pipe import Frame
from agent.sandbox.access import Access
from agent.worker.access import access

PATHS = json.dumps(["/a", "/b/c"]).encode()
LOOK = json.dumps(
    {"folders": ["/a"], "sources": {"clamav": {"paths": ["/log"], "authorities": []}}}
).encode()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Frame({"job": Job.EXTRACT}, (PATHS,)), Access(read=("/a", "/b/c"))),
        (Frame({"job": "scan"}, (PATHS, b"model")), Access(read=("/a", "/b/c"))),
        (Frame({"job": "collect"}, (LOOK, b"key")), Access(read=("/a", "/log"))),
        (Frame({"job": "import", "path": "/t.npz"}), Access(read=("/t.npz",))),
        (Frame({"job": "train", "scratch": "/s/update"}), Access(write=("/s",))),
        (Frame({"job": "example", "scratch": "/s/example-1"}), Access(write=("/s",))),
        (Frame({"job": "seal", "scratch": "/s/update"}), Access(read=("/s/update",))),
        (Frame({"job": "escape", "scratch": "/s/escape"}), Access(write=("/s",))),
    ],
    ids=lambda value: str(value.header["job"]) if isinstance(value, Frame) else "",
)
def test_p12_a_job_opens_what_its_request_names(request_, expected):
    assert access(request_) == expected


@pytest.mark.parametrize("job", Job)
def test_every_job_of_files_is_covered(job):
    header = {"job": job, "path": "/x", "scratch": "/x/y"}
    named = LOOK if job is Job.COLLECT else PATHS
    assert access(Frame(header, (named,))) != Access()


@pytest.mark.parametrize(
    "request_",
    [
        Frame({}),
        Frame({"job": "nonsense"}, (PATHS,)),
        Frame({"job": "scan"}),
        Frame({"job": "extract"}, (b"[",)),
        Frame({"job": "extract"}, (b"3",)),
        Frame({"job": "collect"}, (PATHS,)),
        Frame({"job": "train"}),
    ],
)
def test_a_request_that_makes_no_sense_opens_nothing(request_):
    assert access(request_) == Access()


def test_a_relative_scratch_file_stands_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert access(Frame({"job": "train", "scratch": "update"})) == Access(write=(str(tmp_path),))
