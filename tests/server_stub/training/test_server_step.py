"""The server's step follows its formula, and the last half of the heads is averaged."""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.families.family import Prepared
from server_stub.training import server_step as steps
from server_stub.training.recipe import LARGE_FLEET

RECIPE = replace(LARGE_FLEET.head, rounds=4, rate=2.0)
DRAW = np.random.default_rng(2)
LABELS = (np.arange(60) % 3 > 0).astype(np.int64)
FEATURES = (DRAW.normal(size=(60, 5)) + LABELS[:, None]).astype(np.float32)
PUBLIC = steps.replay(Prepared(np.zeros(60), FEATURES), LABELS)


def test_one_sub_step_is_the_formula():
    head, mean = DRAW.normal(size=5), DRAW.normal(size=5)
    recipe = replace(RECIPE, sub_steps=1, fleet_weight=0.5)
    state = steps.server_step(steps.start(head), mean, PUBLIC, recipe)
    expected = head + 2.0 * (0.5 * mean + steps.public_step(PUBLIC, head) - 0.001 * head)
    assert state.trained == pytest.approx(expected)


def test_the_rate_decays_and_the_last_half_is_averaged():
    state, heads = steps.start(np.zeros(5)), []
    for _ in range(4):
        state = steps.server_step(state, np.zeros(5), PUBLIC, RECIPE)
        heads.append(state.trained)
    assert state.scored == pytest.approx((heads[2] + heads[3]) / 2)
    first = steps.server_step(steps.start(np.zeros(5)), np.zeros(5), PUBLIC, RECIPE)
    assert (first.scored == first.trained).all()
    later = steps.server_step(
        replace(steps.start(np.zeros(5)), rounds_done=1), np.zeros(5), PUBLIC, RECIPE
    )
    assert np.linalg.norm(later.trained) < np.linalg.norm(first.trained)


def test_public_rows_alone_separate_the_classes():
    state = steps.start(np.zeros(5))
    for _ in range(RECIPE.rounds):
        state = steps.server_step(state, np.zeros(5), PUBLIC, RECIPE)
    scores = FEATURES @ state.scored
    assert scores[LABELS == 1].mean() > scores[LABELS == 0].mean() + 1


def test_benign_updates_move_the_head_towards_benign_and_public_rows_hold_it():
    pull = -np.ones(5) / 5
    free = steps.server_step(steps.start(np.zeros(5)), np.zeros(5), PUBLIC, RECIPE)
    pulled = steps.server_step(steps.start(np.zeros(5)), pull, PUBLIC, RECIPE)
    assert (FEATURES @ pulled.trained).mean() < (FEATURES @ free.trained).mean()
