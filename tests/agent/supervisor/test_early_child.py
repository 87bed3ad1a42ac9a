"""A worker that starts before its scan is known: it runs that scan, confined to what was announced,
and never stays.
"""

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from agent.models.bundled import bundled_model
from agent.protocol.jobs import Job
from agent.protocol.pipe import Frame
from agent.sandbox import landlock
from agent.supervisor.early_child import WORKER_FOLDER, start_for_scan, worker_command
from agent.supervisor.process_worker import ProcessWorker
from tests.fakes.installation import PROGRAMS

PROGRAM = str(PROGRAMS[0])
NO_OTHER = (sys.executable, "-c", "raise SystemExit(1)")


@pytest.fixture
def early():
    child = start_for_scan()
    yield child
    child.close()
    assert not psutil.pid_exists(child.pid)


def announce(early, *paths):
    early.announce(Frame({"job": "scan"}, (json.dumps(paths).encode(),)))


async def scan(early, *paths, command=NO_OTHER):
    worker = ProcessWorker(Path(WORKER_FOLDER), command=command)
    await worker.adopt(Job.SCAN, early)
    try:
        result = await worker.scan(paths, bundled_model().files)
    finally:
        await worker.stop()
    return [(item.verdict, item.code) for item in result.results]


@pytest.mark.parametrize("announced", [(), (PROGRAM,), (PROGRAM,) * 1000])
async def test_it_runs_the_scan_whether_or_not_it_was_announced(early, announced):
    if announced:
        announce(early, *announced)
    assert await scan(early, PROGRAM) == [("benign", "")]


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
async def test_p9_it_opens_what_was_announced_and_no_more(early, tmp_path):
    # Copies: Python itself, and so what lies beside its packages, may be read by every worker.
    named, other = tmp_path / "named", tmp_path / "other"
    for folder in (named, other):
        folder.mkdir()
        (folder / "a.exe").write_bytes(PROGRAMS[0].read_bytes())
    announce(early, str(named))
    found = await scan(early, str(named), str(other / "a.exe"))
    assert found == [("benign", ""), ("error", "UNREADABLE")]


async def test_p11_one_that_has_died_costs_a_new_one(early):
    os.kill(early.pid, signal.SIGKILL)
    announce(early, PROGRAM)
    assert await scan(early, PROGRAM, command=worker_command()) == [("benign", "")]


async def test_p2_stopping_ends_one_that_was_adopted_and_not_asked(early):
    worker = ProcessWorker(Path(WORKER_FOLDER))
    await worker.adopt(Job.SCAN, early)
    await worker.stop()
    assert not psutil.pid_exists(early.pid)


def test_without_a_python_to_start_there_is_none(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert start_for_scan() is None


def test_an_installed_agent_starts_a_module_and_a_frozen_one_itself(monkeypatch):
    assert worker_command() == (sys.executable, "-P", "-m", "agent.worker")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert worker_command() == (sys.executable, "--worker")
