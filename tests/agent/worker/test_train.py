"""Training in the worker: it learns, is paced and interrupted without loss, leaves nothing longer
than the clip and nothing readable.
"""

import secrets
from dataclasses import replace

import numpy as np
import pytest

from agent.detector.families import linear
from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Head
from agent.detector.model import from_safetensors, probability
from agent.detector.scoring import read_model
from agent.detector.synthetic import generate
from agent.errors import AegisError, InternalError, OperatorActionError, PeerError
from agent.models.bundled import bundled_model
from agent.protocol.jobs import Checkpointed, ModelFiles, Progress, TrainResult
from agent.protocol.messages import TrainingRows
from agent.worker.train import read_update, train, training_arrays
from tests.fakes.aggregator import TASK, safetensors
from tests.fakes.small_base import small_base

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
    with pytest.raises(OperatorActionError, match="cannot train"):
        run(table, tmp_path / "u", bytes(32), task=replace(TASK, schema="other/1"))


BASE = small_base()
HEAD = Head(np.full(BASE.d, 0.2), np.zeros(BASE.d), BASE.digest)
ON_BASE = ModelFiles(BaseHead().write_head(HEAD), BASE.content, "base+head/1", 500)
BENIGN_ONLY = replace(
    TASK,
    model="base+head/1",
    d=BASE.d,
    clip_milli=20,
    base_sha256=BASE.digest,
    rows=TrainingRows.BENIGN,
    rounds=10,
    base_weight_milli=500,
)


def update_on_base(table, scratch, task=BENIGN_ONLY):
    key = secrets.token_bytes(32)
    result = list(train(task, ON_BASE, *table, str(scratch), key, after_step=lambda: False))[-1]
    return result, read_update(str(scratch), key)


def test_a_head_learns_from_benign_rows_alone(table, tmp_path):
    result, update = update_on_base(table, tmp_path / "u")
    rows, labels = table
    benign = [number for number, label in enumerate(labels) if label == 0]
    assert result.rows_used == len(benign)
    assert np.linalg.norm(update) <= 0.02 * (1 + 1e-9)
    raw = np.frombuffer(rows, "<u8").reshape(-1, 29)[benign].astype(np.uint64)
    prepared = read_model(ON_BASE).prepare(raw)
    before, after = (
        linear.logits(prepared, head) for head in (HEAD.trained, HEAD.trained + 50 * update)
    )
    assert after.mean() < before.mean()


def test_p6_how_many_rows_there_are_does_not_enter_the_update(table, tmp_path):
    rows, labels = table
    _, once = update_on_base(table, tmp_path / "a")
    _, thrice = update_on_base((rows * 3, labels * 3), tmp_path / "b")
    assert thrice == pytest.approx(once, abs=1e-8)


def test_a_head_learns_from_both_sorts_where_the_task_says_so(table, tmp_path):
    task = replace(BENIGN_ONLY, rows=TrainingRows.ALL, clip_milli=1000)
    result, update = update_on_base(table, tmp_path / "u", task)
    assert result.rows_used == ROWS
    assert not np.allclose(update, update_on_base(table, tmp_path / "v")[1])


@pytest.mark.parametrize(
    ("task", "labels", "code"),
    [
        (BENIGN_ONLY, b"\1" * ROWS, "BAD_ROW"),
        (replace(BENIGN_ONLY, model="forest/1"), None, "UNKNOWN_TASK"),
        (replace(BENIGN_ONLY, d=15), None, "UNKNOWN_TASK"),
    ],
    ids=["no benign row", "unknown family", "another size"],
)
def test_p11_what_a_head_cannot_train_on_is_refused(table, tmp_path, task, labels, code):
    rows, truth = table
    with pytest.raises(AegisError) as raised:
        update_on_base((rows, labels or truth), tmp_path / "u", task)
    assert raised.value.code == code
    assert list(tmp_path.iterdir()) == []
