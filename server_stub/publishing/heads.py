"""Makes the next head of a family with a base: the devices' mean update and the operator's rows.

1. How far a course is follows from the stored models alone: those that rounds made since the last
   one that the operator published, or that ended a course. So a restart changes nothing.
2. The last round of a course publishes the average as the head that the next course starts from.
3. Thresholds are calibrated again at each publication, on rows that the operator keeps for it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.detector.families.family import Head, Prepared
from agent.detector.scoring import read_model
from agent.errors import OperatorActionError
from agent.protocol.jobs import ModelFiles
from agent.protocol.messages import Task
from server_stub.config.home import ServerHome
from server_stub.publishing.calibration import Calibration, read_calibration
from server_stub.publishing.public_rows import PublicRows, read_public_rows
from server_stub.rounds.lifecycle import RoundPlan
from server_stub.training.recipe import HeadRecipe
from server_stub.training.server_step import HeadState, Replay, replay, server_step

BY_ROUND, BY_COURSE, CALIBRATED = "round ", "course ended by round ", "calibrated "


@dataclass(frozen=True)
class NextHead:
    content: bytes
    """The model file."""
    ends_course: bool


@dataclass(frozen=True, eq=False)
class HeadMaterial:
    """What the server keeps for a family with a base."""

    base: bytes
    rows: PublicRows | None
    calibration: Calibration | None


def material(home: ServerHome, task: Task) -> HeadMaterial:
    """Read what the server keeps. Raises OperatorActionError NO_BASE, NO_ROWS, BAD_ROWS."""
    base = read_base_file(home, task)
    rows = read_public_rows(home.rows_file) if home.rows_file.is_file() else None
    check_has_rows(task, rows)
    return HeadMaterial(base, rows, read_calibration(home.calibration_file))


def read_base_file(home: ServerHome, task: Task) -> bytes:
    """Return the base that the task names; b"" for a task without one.

    Raises OperatorActionError NO_BASE where it is missing or another one.
    """
    if not task.base_sha256:
        return b""
    content = home.base_file.read_bytes() if home.base_file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != task.base_sha256:
        why = "has a base other than the one its task names" if content else "has no base"
        raise OperatorActionError(
            "NO_BASE", f"The server's folder {why}.", "Restore base.safetensors from a backup."
        )
    return content


def check_has_rows(task: Task, rows: PublicRows | None) -> None:
    """Raise OperatorActionError NO_ROWS for a task that cannot work without the operator's rows."""
    if rows is None and task.needs_public_rows:
        raise OperatorActionError(
            "NO_ROWS",
            "Without rows of the operator, training on benign files alone cannot work: every"
            " verdict would drift to benign.",
            "Give rows of both sorts (--detector, --rows), or train on labelled rows"
            " (--train-on all).",
        )


def rounds_done(origins: Sequence[str]) -> int:
    """Return how many rounds of the present course have made a model.

    `origins`: of all models, oldest first.
    """
    done = 0
    for origin in reversed(origins):
        if origin.startswith(CALIBRATED):
            continue  # the same head as the model before, with other thresholds
        if not origin.startswith(BY_ROUND):
            break
        done += 1
    return done


def recipe_of(task: Task, plan: RoundPlan) -> HeadRecipe:
    """Return the recipe that task and plan state."""
    return HeadRecipe(
        alpha=task.base_weight_milli / 1000,
        rounds=task.rounds,
        clip=task.clip_milli / 1000,
        fleet_weight=task.mean_weight_milli / 1000,
        rate=plan.server_rate_milli / 1000,
        decay=plan.server_shrink_milli / 1000,
    )


def next_head(
    task: Task,
    plan: RoundPlan,
    kept: HeadMaterial,
    content: bytes,
    done: int,
    mean: NDArray[np.float64],
) -> NextHead:
    """Return the head after one more round. `done`: rounds of the course before this one.

    `mean`: the devices' mean update (d,).
    """
    files = ModelFiles(content, kept.base, task.model, task.base_weight_milli)
    detector = read_model(files)
    recipe, head = recipe_of(task, plan), detector.head
    # As server_step counts: the heads of the first half are in no average.
    averaged = max(0, done - recipe.rounds // 2)
    before = HeadState(done, head.trained, head.scored, averaged)
    after = server_step(before, mean, _replay(kept, recipe.alpha, task.d), recipe)
    ends_course = after.rounds_done >= recipe.rounds
    trained = after.scored if ends_course else after.trained
    updated = replace(head, trained=trained, scored=after.scored)
    return NextHead(detector.family.write_head(calibrated(updated, files, kept)), ends_course)


def calibrated(head: Head, files: ModelFiles, kept: HeadMaterial) -> Head:
    """Return the head with thresholds from the calibration's rows, if there are any."""
    if kept.calibration is None:
        return head
    detector = replace(read_model(files), head=head)
    return replace(head, bounds=kept.calibration.bounds(detector))


def recalibrated(home: ServerHome, task: Task, content: bytes) -> bytes:
    """Return a model file with thresholds from the calibration's rows; unchanged where there are
    none.

    Raises OperatorActionError BAD_ROWS, NO_BASE, PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
    """
    calibration = read_calibration(home.calibration_file)
    if calibration is None:
        return content
    base = read_base_file(home, task)
    detector = read_model(ModelFiles(content, base, task.model, task.base_weight_milli))
    bounds = calibration.bounds(detector)
    return detector.family.write_head(replace(detector.head, bounds=bounds))


def _replay(kept: HeadMaterial, alpha: float, d: int) -> Replay:
    if kept.rows is not None:
        return kept.rows.replay(kept.base, alpha)
    return replay(Prepared(np.zeros(0), np.zeros((0, d), np.float32)), np.zeros(0, np.int64))
