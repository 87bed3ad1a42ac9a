"""The operator's rows make an update as a device would, and judge models on rows of their own."""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.families.family import Prepared
from agent.protocol.messages import Mode, TrainingRows
from server_stub.config.settings import default_task
from server_stub.validation.root import canary_rows, is_canary, parted, root_update

DRAW = np.random.default_rng(1)
FEATURES = np.concatenate([DRAW.normal(size=(400, 115)), np.ones((400, 1))], axis=1)
LABELS = (FEATURES[:, 0] > 0).astype(np.int64)
PREPARED = Prepared(np.zeros(400), FEATURES.astype(np.float32))
KNOWN = parted(PREPARED, LABELS, np.arange(400) % 2 == 0)
TASK = default_task(Mode.LOCAL)
HEAD_TASK = replace(TASK, base_sha256="ab" * 32, rounds=10, mean_weight_milli=1000)


def test_copies_of_a_row_are_on_one_side_and_half_of_the_groups_on_each():
    groups = np.repeat(np.arange(100), 4)
    marked = is_canary(groups)
    assert all(len(set(marked[groups == one])) == 1 for one in range(100))
    assert marked.sum() == 200


def test_the_two_parts_share_no_row():
    assert (len(KNOWN.root), len(KNOWN.canary), KNOWN.size) == (200, 200, 400)
    assert KNOWN.has_both_classes
    one_class = parted(PREPARED, np.zeros(400, int), np.arange(400) % 2 == 0)
    assert not one_class.has_both_classes


def test_the_root_update_points_where_the_rows_point_and_is_clipped():
    update = root_update(KNOWN, np.zeros(116), TASK)
    assert int(np.argmax(np.abs(update))) == 0
    assert update[0] > 0
    assert np.linalg.norm(update) <= TASK.clip_milli / 1000 + 1e-9


def test_a_head_learns_from_benign_rows_only_where_its_task_says_so():
    both = root_update(KNOWN, np.zeros(116), HEAD_TASK)
    benign = root_update(KNOWN, np.zeros(116), replace(HEAD_TASK, rows=TrainingRows.BENIGN))
    # Benign rows alone say "less", so the bias goes down.
    assert benign[-1] < -0.1 < both[-1]


def test_a_weighted_update_carries_no_weight():
    weighted = root_update(KNOWN, np.zeros(116), replace(TASK, weight_cap=50))
    assert weighted.shape == (117,)
    assert weighted[-1] == 0


def test_the_canary_scores_its_own_rows():
    head = np.zeros(116)
    head[0] = 5.0
    rows = canary_rows(KNOWN, head, 0.5)
    assert rows.labels is KNOWN.canary_labels
    assert np.mean((rows.probabilities >= 0.5) == (rows.labels == 1)) == pytest.approx(1)
