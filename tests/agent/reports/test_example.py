"""The example reads only its bundled file, needs no consent, and leaves only a copy to view."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from agent.detector.schema import FEATURE_NAMES
from agent.errors import UserActionError
from agent.privacy.budget import Budget
from agent.protocol.envelope import decode
from agent.reports.example import DIMENSION, preview
from agent.reports.viewing_copies import ViewingCopies
from agent.supervisor.process_worker import ProcessWorker
from tests.fakes.device import Device
from tests.fakes.timeouts import TIMEOUT_S

BUDGET = Budget(epsilon=1.0, delta=1e-5, period_days=365, lifetime_epsilon=3.0)


class RecordingWorker(ProcessWorker):
    """A real worker that notes which files it reads, and fails where a test says."""

    def __init__(self, scratch, failing=""):
        super().__init__(scratch)
        self.paths = []
        self.failing = failing

    async def extract(self, paths):
        self.paths.extend(paths)
        return await super().extract(paths)

    async def seal(self, *arguments):
        if self.failing == "seal":
            raise UserActionError("WORKER_CRASHED", "The worker crashed.", "")
        return await super().seal(*arguments)


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def files_of(folder):
    """All files but the copies that a person may look at."""
    files = {path for path in Path(folder).rglob("*") if path.is_file()}
    return {path for path in files if path.parent.name != "run"}


async def show(device, worker):
    copies = ViewingCopies(device.agent.home)
    return await preview(worker, BUDGET, device.agent.home.scratch, copies)


async def test_p1_the_example_shows_a_row_and_an_update_before_any_consent(device):
    worker = RecordingWorker(device.home / "scratch")
    before = files_of(device.home)
    result = await show(device, worker)
    assert result["label"] == "example"
    assert list(result["features"]) == list(FEATURE_NAMES)
    assert [Path(path).name for path in worker.paths] == ["example.bin"]
    assert files_of(device.home) == before
    assert device.agent.status().consent.state.value == "UNASKED"
    assert device.agent.samples.counts().total == 0
    assert (device.agent.ledger.charges(), device.server.calls) == ([], [])


async def test_the_update_is_whole_and_says_what_it_is(device):
    result = await show(device, RecordingWorker(device.home / "scratch"))
    path = Path(result["update"]["path"])
    body = path.read_bytes()
    assert len(body) == result["update"]["bytes"]
    assert decode(body).header == result["update"]["header"]
    assert (result["update"]["header"]["task_id"], result["update"]["header"]["d"]) == (
        "example",
        DIMENSION,
    )
    assert path.stat().st_mode & 0o777 == 0o600
    json.dumps(result)


async def test_the_noise_is_new_each_time_and_the_row_is_not(device):
    worker = RecordingWorker(device.home / "scratch")
    first = await show(device, worker)
    first_body = Path(first["update"]["path"]).read_bytes()
    second = await show(device, worker)
    assert first["features"] == second["features"]
    assert decode(first_body).payload != decode(Path(second["update"]["path"]).read_bytes()).payload


async def test_an_example_that_fails_leaves_no_update_in_scratch(device):
    worker = RecordingWorker(device.home / "scratch", failing="seal")
    with pytest.raises(UserActionError):
        await show(device, worker)
    assert list((device.home / "scratch").iterdir()) == []


@contextlib.asynccontextmanager
async def occupied_slot():
    raise UserActionError("TRAINING_ELSEWHERE", "Another AegisAI is training on this computer.", "")
    yield


async def test_the_example_neither_waits_for_another_training_nor_is_suspended_with_it(device):
    worker = ProcessWorker(device.home / "scratch", slot=occupied_slot)
    worker.suspend()
    async with asyncio.timeout(TIMEOUT_S):
        result = await show(device, worker)
    assert result["update"]["bytes"] == Path(result["update"]["path"]).stat().st_size
