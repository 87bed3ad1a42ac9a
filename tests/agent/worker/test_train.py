"""Training in the worker: it learns, is paced and interrupted without loss, leaves nothing longer
than the clip and nothing readable.
"""

import secrets

import numpy as np
import pytest

from agent.detector.model import from_safetensors, probability
from agent.detector.synthetic import generate
from agent.errors import InternalError, OperatorActionError, PeerError
from agent.models.bundled import bundled_model
from agent.protocol.jobs import Checkpointed, ModelFiles, Progress, TrainResult
from agent.worker.train import read_update, train, training_arrays
from tests.fakes.aggregator import TASK, safetensors

ROWS = 200
ZERO = safetensors([0.0] * 116)


@pytest.fixture(scope="module")
def table():
    dataset = generate(np.random.default_rng(5), ROWS)
    return dataset.rows[:ROWS].astype("<u8").tobytes(), dataset.labels[:ROWS].astype(
        np.uint8
    ).tobytes()


def run(table, scratch, key, model=ZERO, task=TASK, after_step=lambda: False):
    return list(train(task, ModelFiles(model), *table, str(scratch), key, after_step=after_step))


def test_one_job_makes_the_rows_more_likely(table, tmp_path):
    key = secrets.token_bytes(32)
    *progress, result = run(table, tmp_path / "u", key)
    assert isinstance(result, TrainResult)
    assert result.rows_used == ROWS
    assert progress[-1] == Progress(TASK.train_steps, TASK.train_steps)
    update = read_update(str(tmp_path / "u"), key)
    inputs, truth = training_arrays(*table)
    after = probability(from_safetensors(safetensors(update)), inputs)
    assert after[truth == 1].mean() > after[truth == 0].mean()
    assert [path.name for path in tmp_path.iterdir()] == ["u"]


def test_p12_the_update_is_encrypted_and_private(table, tmp_path):
    key = secrets.token_bytes(32)
    run(table, tmp_path / "u", key)
    update = read_update(str(tmp_path / "u"), key)
    assert update[:4].tobytes() not in (tmp_path / "u").read_bytes()
    assert (tmp_path / "u").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InternalError):
        read_update(str(tmp_path / "u"), secrets.token_bytes(32))


def test_p10_training_interrupted_after_every_step_ends_in_the_same_update(table, tmp_path):
    key = secrets.token_bytes(32)
    run(table, tmp_path / "whole", key)
    for _ in range(TASK.train_steps):
        last = run(table, tmp_path / "parts", key, after_step=lambda: True)[-1]
        if isinstance(last, TrainResult):
            break
        assert isinstance(last, Checkpointed)
    assert isinstance(last, TrainResult)
    assert np.array_equal(
        read_update(str(tmp_path / "whole"), key), read_update(str(tmp_path / "parts"), key)
    )


@pytest.mark.parametrize(
    ("rows", "labels"),
    [(b"", b""), (bytes(29 * 8), b""), (bytes(29 * 8 - 1), b"\0"), (bytes(29 * 8), b"\2")],
    ids=["nothing", "no label", "half a row", "a third class"],
)
def test_p11_rows_and_labels_that_do_not_fit_train_nothing(tmp_path, rows, labels):
    with pytest.raises(PeerError, match="do not fit"):
        run((rows, labels), tmp_path / "u", bytes(32))
    assert list(tmp_path.iterdir()) == []


def test_training_works_with_one_class_alone(table, tmp_path):
    rows, _ = table
    assert isinstance(
        run((rows, bytes(ROWS)), tmp_path / "u", bytes(32), bundled_model().files.head)[-1],
        TrainResult,
    )


def test_only_the_operator_can_fix_a_task_of_another_kind(table, tmp_path):
    from dataclasses import replace

    with pytest.raises(OperatorActionError, match="cannot train"):
        run(table, tmp_path / "u", bytes(32), task=replace(TASK, schema="other/1"))
