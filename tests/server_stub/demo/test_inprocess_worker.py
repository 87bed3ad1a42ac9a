"""The worker of simulated devices runs the same jobs as a worker process, and ends them as fast."""

import asyncio
import secrets

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import PeerError, UserActionError
from agent.privacy.plan import plan_local
from agent.protocol import envelope
from agent.protocol.jobs import ModelFiles
from agent.worker.train import read_update
from server_stub.demo.inprocess_worker import InProcessWorker
from tests.fakes.aggregator import TASK, safetensors
from tests.fakes.rounds import round_identity

ROWS = 200
KEY = secrets.token_bytes(32)
ZERO = safetensors([0.0] * 116)


@pytest.fixture
def train(tmp_path):
    """Trains on generated rows with a worker, and leaves the update in `name`."""
    generated = generate(np.random.default_rng(5), ROWS)
    rows = generated.rows[:ROWS].astype("<u8").tobytes()
    labels = generated.labels[:ROWS].astype(np.uint8).tobytes()

    def start(worker, name="update", rows=rows):
        return worker.train(TASK, ModelFiles(ZERO), rows, labels, str(tmp_path / name), KEY)

    return start


async def test_a_trained_update_is_sealed_for_its_round(train, tmp_path):
    worker = InProcessWorker()
    assert (await train(worker)).rows_used == ROWS
    path = str(tmp_path / "update")
    assert np.linalg.norm(read_update(path, KEY)) > 0
    config = plan_local(TASK, round_identity(), rho_units_per_round=2**36)
    sealed = envelope.decode(await worker.seal(config, path, KEY, "ab" * 8))
    assert (sealed.header["kind"], sealed.header["config_digest"]) == (
        "local-update",
        config.digest,
    )


async def test_an_error_of_a_job_is_raised_with_its_own_code(train):
    with pytest.raises(PeerError) as raised:
        await train(InProcessWorker(), rows=b"half a row")
    assert raised.value.code == "BAD_ROW"


async def test_stopping_ends_a_suspended_training_and_leaves_no_update(train, tmp_path):
    worker = InProcessWorker()
    worker.suspend()
    training = asyncio.create_task(train(worker))
    await asyncio.sleep(0)  # the task runs up to its thread
    await worker.stop()
    with pytest.raises(UserActionError) as raised:
        await training
    assert raised.value.code == "WORKER_STOPPED"
    assert not (tmp_path / "update").exists()


async def test_a_job_that_starts_after_a_stop_is_not_ended(train):
    worker = InProcessWorker()
    await worker.stop()
    assert (await train(worker)).rows_used == ROWS


async def test_a_suspended_training_continues_only_once_it_is_resumed(train, tmp_path):
    worker = InProcessWorker()
    worker.suspend()
    suspended = asyncio.create_task(train(worker, "suspended"))
    # As much work as the suspended training has, so that it would have ended as well.
    await train(InProcessWorker(), "other")
    await train(InProcessWorker(), "another")
    assert not suspended.done()
    worker.resume()
    assert (await suspended).rows_used == ROWS
    assert read_update(str(tmp_path / "suspended"), KEY) == pytest.approx(
        read_update(str(tmp_path / "other"), KEY)
    )
