"""Cached and computed features are the same, and flipped labels teach the opposite."""

import numpy as np
import pytest

from server_stub.simulation import data
from server_stub.simulation.training import RECIPES, Fleet, Inputs, Recipe, evaluate


def test_features_are_the_same_whether_they_are_cached_or_not(table, monkeypatch):
    rows, recipe = np.load(table)["X"][:300], Recipe("fourier", 33, 1, 1.0, 1.0)
    cached = Inputs(rows, recipe)
    monkeypatch.setattr("server_stub.simulation.training.CACHED_FLOATS", 0)
    computed = Inputs(rows, recipe)
    assert computed.of(slice(10, 20)) == pytest.approx(cached.of(slice(10, 20)), abs=1e-5)
    labels = np.arange(300) % 2
    assert evaluate(np.ones(33), computed, labels).auc == pytest.approx(
        evaluate(np.ones(33), cached, labels).auc, abs=1e-6
    )


def test_flipped_labels_teach_the_opposite(table):
    rows = data.from_file(table, 1)
    shares, recipe = data.deal(rows, 4, 200, 1), RECIPES["logistic"]
    honest = Fleet(shares, recipe, np.zeros(4, bool))
    flipped = Fleet(shares, recipe, np.ones(4, bool))
    start = np.zeros(recipe.d)
    for device in range(4):
        one, other = honest.update(start, device), flipped.update(start, device)
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        assert cosine == pytest.approx(-1, abs=0.05)
    holdout = Inputs(rows.holdout, recipe)
    learned = evaluate(honest.update(start, 0), holdout, rows.holdout_labels)
    assert learned.auc > 0.7


def test_the_clipping_norms_of_all_rounds_add_up_to_the_reach():
    for recipe in RECIPES.values():
        for rounds in (1, 8, 20):
            assert recipe.clip_milli(rounds) * rounds / 1000 == pytest.approx(
                recipe.reach, rel=0.02
            )
