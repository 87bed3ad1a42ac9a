"""The head after a round follows from the models that are stored and from the operator's rows."""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Head
from agent.detector.synthetic import generate
from agent.errors import OperatorActionError
from agent.protocol.messages import TrainingRows
from server_stub.config.home import ServerHome
from server_stub.config.settings import default_task
from server_stub.publishing.calibration import Calibration
from server_stub.publishing.heads import (
    HeadMaterial,
    check_has_rows,
    material,
    next_head,
    recipe_of,
    rounds_done,
)
from server_stub.publishing.public_rows import PublicRows, write_public_rows
from server_stub.rounds.lifecycle import RoundPlan
from server_stub.training.server_step import server_step, start
from tests.fakes.small_base import small_base

BASE = small_base()
TASK = replace(
    default_task(),
    model="base+head/1",
    d=BASE.d,
    clip_milli=20,
    base_sha256=BASE.digest,
    rows=TrainingRows.BENIGN,
    rounds=4,
    mean_weight_milli=4000,
    base_weight_milli=500,
)
PLAN = RoundPlan(server_rate_milli=20_000, server_shrink_milli=950)
FAMILY = BaseHead()


@pytest.fixture
def kept():
    table = generate(np.random.default_rng(5), 60)
    rows = PublicRows(table.rows, table.labels, np.linspace(-3, 3, len(table.labels)))
    return HeadMaterial(BASE.content, rows, None)


def start_model():
    return FAMILY.write_head(Head(np.zeros(BASE.d), np.zeros(BASE.d), BASE.digest))


def test_rounds_are_the_ones_of_the_training_and_the_last_publishes_the_average(kept):
    """The same as the rounds in memory, although each continues from a file."""
    means = np.random.default_rng(3).normal(scale=0.01, size=(TASK.rounds, BASE.d))
    state, content = start(np.zeros(BASE.d)), start_model()
    public, recipe = kept.rows.replay(BASE.content, 0.5), recipe_of(TASK, PLAN)
    for done, mean in enumerate(means):
        result = next_head(TASK, PLAN, kept, content, done, mean)
        state, content = server_step(state, mean, public, recipe), result.content
        head = FAMILY.read_head(content, BASE.d)
        assert head.scored == pytest.approx(state.scored, abs=1e-12)
        assert result.ends_course == (done == TASK.rounds - 1)
        assert head.trained == pytest.approx(
            state.scored if result.ends_course else state.trained, abs=1e-12
        )


def test_the_thresholds_are_those_of_the_new_head(kept):
    calibration = Calibration(kept.rows.rows, kept.rows.labels, 0.1, 0.3)
    calibrated = replace(kept, calibration=calibration)
    plain, bound = (
        next_head(TASK, PLAN, one, start_model(), 0, np.zeros(BASE.d)).content
        for one in (kept, calibrated)
    )
    assert FAMILY.read_head(plain, BASE.d).bounds.false_positive_rate is None
    assert FAMILY.read_head(bound, BASE.d).bounds.false_positive_rate == 0.1


@pytest.mark.parametrize(
    ("origins", "done"),
    [
        ([], 0),
        (["start model"], 0),
        (["start model", "round 1", "round 3"], 2),
        (["start model", "round 1", "operator", "round 2"], 1),
        (["start model", "round 1", "course ended by round 2"], 0),
        (["start model", "round 1", "calibrated round 1", "round 2"], 2),
        (["start model", "calibrated start model"], 0),
    ],
)
def test_a_course_is_counted_from_the_stored_models(origins, done):
    assert rounds_done(origins) == done


def test_benign_rows_alone_are_not_enough(kept):
    with pytest.raises(OperatorActionError, match="cannot work") as raised:
        check_has_rows(TASK, None)
    assert raised.value.code == "NO_ROWS"
    check_has_rows(TASK, kept.rows)
    check_has_rows(replace(TASK, rows=TrainingRows.ALL), None)


def test_labelled_rows_teach_without_rows_of_the_operator(kept):
    alone = replace(kept, rows=None)
    task = replace(TASK, rows=TrainingRows.ALL)
    result = next_head(task, PLAN, alone, start_model(), 0, np.ones(BASE.d))
    assert FAMILY.read_head(result.content, BASE.d).trained == pytest.approx(
        80 * np.ones(15 + 1), rel=0.1
    )


def test_what_is_kept_lies_in_the_servers_folder(kept, tmp_path):
    home = ServerHome(tmp_path)
    with pytest.raises(OperatorActionError) as raised:
        material(home, TASK)
    assert raised.value.code == "NO_BASE"
    home.base_file.write_bytes(BASE.content)
    write_public_rows(home.rows_file, kept.rows)
    found = material(home, TASK)
    assert (found.base, len(found.rows), found.calibration) == (BASE.content, len(kept.rows), None)
