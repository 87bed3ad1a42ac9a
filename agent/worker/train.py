"""The job `train`: it leaves a clipped update in scratch, local minus global weights.

1. Rows are weighted by class, so that a device with mostly benign files does not pull the model
   towards "benign". A class has at most MAX_CLASS_WEIGHT times its share.
2. Training makes `train_steps` passes of stochastic gradient descent on the logistic loss
   (scikit-learn), and asks after each whether to stop. Every CHECKPOINT_S it saves a checkpoint, so
   that a killed worker loses no more than that.
   This is how a family without a base trains.
3. The update is clipped to the task's norm here, so that no longer one ever reaches the disk. If
   the task averages by weight, it is weighted here too.
4. A family with a base makes one gradient at the head that it was given, over the benign rows or
   over both sorts (agent.detector.families.linear). How many rows there are does not enter.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from agent.detector.families import linear
from agent.detector.families.family import unknown
from agent.detector.families.table import family
from agent.detector.model import LogisticModel, from_safetensors
from agent.detector.schema import FEATURE_NAMES, SCHEMA
from agent.detector.scoring import read_model
from agent.detector.transform import transform
from agent.errors import InternalError, PeerError
from agent.privacy.weights import outgoing
from agent.protocol.jobs import Checkpointed, Event, ModelFiles, Progress, TrainResult
from agent.protocol.messages import Task, TrainingRows
from agent.worker import scratch as scratch_file

MAX_CLASS_WEIGHT = 5.0
CHECKPOINT_S = 30.0
PROGRESS_S = 2.0
"""Progress is reported no more often, because each report wakes its reader."""
UPDATE_LABEL = "aegisai/trained-update/1"
CHECKPOINT_LABEL = "aegisai/training-checkpoint/1"
Floats = NDArray[np.float64]


def train(
    task: Task,
    model: ModelFiles,
    rows: bytes,
    labels: bytes,
    scratch: str,
    job_key: bytes,
    *,
    after_step: Callable[[], bool],
) -> Iterator[Event]:
    """Train and leave the update in `scratch` (0600, AES-256-GCM under `job_key`).

    `after_step` may sleep. When it returns True, training saves a checkpoint beside `scratch` and
    ends with `Checkpointed`. Raises OperatorActionError UNKNOWN_TASK, PeerError BAD_ROW,
    MODEL_WRONG_SHAPE, MODEL_NOT_FINITE, and OSError.
    """
    known = family(task.model)
    if task.schema != SCHEMA:
        raise unknown(task.schema)
    if known.has_base:
        yield from _one_gradient(task, model, rows, labels, scratch, job_key)
        return
    base = from_safetensors(model.head)
    inputs, truth = training_arrays(rows, labels)
    started = time.process_time()
    weights, first = _resumed(scratch, job_key, base)
    saved_at, reported_at = time.monotonic(), 0.0
    for step in range(first, task.train_steps):
        weights = train_pass(weights, inputs, truth, task.train_rate_milli / 1000)
        now, is_last = time.monotonic(), step + 1 == task.train_steps
        if is_last or now - reported_at >= PROGRESS_S:
            reported_at = now
            yield Progress(step + 1, task.train_steps)
        stops = after_step() and not is_last
        if stops or now - saved_at >= CHECKPOINT_S:
            saved_at = now
            scratch_file.write(
                _checkpoint(scratch),
                job_key,
                CHECKPOINT_LABEL,
                (step + 1).to_bytes(4, "big") + weights.tobytes(),
            )
        if stops:
            yield Checkpointed(step + 1)
            return
    update = outgoing(weights - base.weights, len(truth), task)
    scratch_file.write(scratch, job_key, UPDATE_LABEL, update.astype("<f8").tobytes())
    scratch_file.remove(_checkpoint(scratch))
    yield TrainResult(len(truth), time.process_time() - started)


def _one_gradient(
    task: Task, model: ModelFiles, rows: bytes, labels: bytes, scratch: str, job_key: bytes
) -> Iterator[Event]:
    """4. Leave minus the clipped mean gradient at the model's head."""
    detector = read_model(model)
    if detector.scorer.d != task.d:
        raise unknown(f"{task.model} with {detector.scorer.d} weights")
    raw, truth = _raw_rows(rows, labels)
    started = time.process_time()
    head = detector.head.trained
    if task.rows is TrainingRows.BENIGN:
        raw = raw[truth == 0]
        if not len(raw):
            raise _bad_rows()
        update = linear.benign_update(detector.prepare(raw), head)
    else:
        update = linear.labelled_update(detector.prepare(raw), truth, head)
    clipped = outgoing(update, len(raw), task)
    scratch_file.write(scratch, job_key, UPDATE_LABEL, clipped.astype("<f8").tobytes())
    yield Progress(1, 1)
    yield TrainResult(len(raw), time.process_time() - started)


def read_update(scratch: str, job_key: bytes) -> Floats:
    """Read the clipped update that `train` left. Raises InternalError SCRATCH_UNREADABLE."""
    return np.frombuffer(scratch_file.read(scratch, job_key, UPDATE_LABEL), "<f8").astype(
        np.float64
    )


def training_arrays(rows: bytes, labels: bytes) -> tuple[Floats, NDArray[np.int64]]:
    """Return transformed inputs (n, 115) and labels (n).

    Raises PeerError BAD_ROW when rows and labels do not fit together.
    """
    raw, truth = _raw_rows(rows, labels)
    return transform(raw), truth


def _raw_rows(rows: bytes, labels: bytes) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return rows (n, 29) and labels (n). Raises PeerError BAD_ROW."""
    if len(rows) != len(labels) * len(FEATURE_NAMES) * 8 or not labels or set(labels) - {0, 1}:
        raise _bad_rows()
    raw = np.frombuffer(rows, "<u8").reshape(len(labels), len(FEATURE_NAMES))
    return raw.astype(np.uint64), np.frombuffer(labels, np.uint8).astype(np.int64)


def _bad_rows() -> PeerError:
    return PeerError(
        "BAD_ROW",
        "The training rows and their labels do not fit together.",
        "Nothing was trained.",
    )


def train_pass(weights: Floats, inputs: Floats, truth: NDArray[np.int64], rate: float) -> Floats:
    """Make one pass over all rows from `weights` (116).

    The rows together weigh one, so `rate` means the same for 20 rows and 20,000.
    """
    from sklearn.linear_model import SGDClassifier  # takes a second to load

    learner = SGDClassifier(
        loss="log_loss",
        penalty=None,
        learning_rate="constant",
        eta0=rate / len(truth),
        shuffle=False,
    )
    learner.classes_ = np.array([0, 1])
    learner.coef_, learner.intercept_ = weights[None, :-1].copy(), weights[-1:].copy()
    learner.partial_fit(inputs, truth, sample_weight=_class_weights(truth))
    trained = np.concatenate([learner.coef_[0], learner.intercept_])
    if not np.isfinite(trained).all():
        raise InternalError("NOT_FINITE", "Training did not end in numbers.", "Nothing was sent.")
    return trained


def _class_weights(truth: NDArray[np.int64]) -> Floats:
    """Return each row's weight: both classes weigh the same in total, within MAX_CLASS_WEIGHT."""
    share = np.bincount(truth, minlength=2) / len(truth)
    weights = np.minimum(0.5 / np.maximum(share, 1e-12), MAX_CLASS_WEIGHT)
    return weights[truth].astype(np.float64)


def _checkpoint(scratch: str) -> str:
    return scratch + ".checkpoint"


def _resumed(scratch: str, job_key: bytes, base: LogisticModel) -> tuple[Floats, int]:
    """Return the weights and the number of steps done, from this key's checkpoint or the start."""
    try:
        checkpoint = scratch_file.read(_checkpoint(scratch), job_key, CHECKPOINT_LABEL)
    except InternalError:
        return base.weights, 0
    return np.frombuffer(checkpoint[4:], np.float64), int.from_bytes(checkpoint[:4], "big")
