"""Bases score exactly as scikit-learn does, and out-of-fold scores come from models that have not
seen the row.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from agent.detector.families.base_head import read_base
from agent.detector.families.perceptron import Perceptron
from agent.detector.synthetic import generate
from agent.detector.transform import transform
from server_stub.training.base import as_arrays, folds, header_groups, train_base
from server_stub.training.recipe import LARGE_FLEET, SMALL_FLEET

TABLE = generate(np.random.default_rng(11), 500)
FRESH = transform(generate(np.random.default_rng(12), 2000).rows)


@pytest.mark.parametrize("leaves", [3, 15, 31])
def test_trees_as_arrays_equal_those_of_scikit_learn(leaves):
    fitted = HistGradientBoostingClassifier(
        max_iter=20, max_leaf_nodes=leaves, min_samples_leaf=3, random_state=1
    ).fit(transform(TABLE.rows), TABLE.labels)
    assert np.abs(as_arrays(fitted).logits(FRESH) - fitted.decision_function(FRESH)).max() < 1e-12


def test_the_network_equals_that_of_scikit_learn():
    fitted = MLPClassifier((64, 32), max_iter=12, early_stopping=True, random_state=1)
    with pytest.warns(ConvergenceWarning):
        fitted.fit(transform(TABLE.rows), TABLE.labels)
    own = Perceptron(tuple(fitted.coefs_), tuple(fitted.intercepts_))
    theirs = FRESH
    for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
        theirs = np.maximum(theirs, 0) @ weight + bias
    logits = own.logits(own.hidden(FRESH))
    assert np.abs(logits - theirs[:, 0]).max() < 1e-12
    probability = 1 / (1 + np.exp(-logits))
    assert np.abs(probability - fitted.predict_proba(FRESH)[:, 1]).max() < 1e-12


def test_a_base_is_trained_and_its_own_rows_are_scored_out_of_fold():
    recipe = replace(SMALL_FLEET.base, trees=4, leaves=4, laplacian=31)
    told = []
    trained = train_base(TABLE.rows, TABLE.labels, recipe, 3, told.append)
    assert told == ["base", *(f"fold {number} of 5" for number in range(1, 6))]
    assert read_base(trained.base.content).digest == trained.base.digest
    inside = trained.base.logits(transform(TABLE.rows))
    signed = np.where(TABLE.labels == 1, 1, -1)
    assert (signed * inside).mean() > (signed * trained.out_of_fold).mean()
    replay = trained.replay_rows(TABLE.rows, 0.5)
    assert replay.offsets == pytest.approx(trained.out_of_fold / 2)
    again = train_base(TABLE.rows, TABLE.labels, recipe, 3)
    assert again.base.digest == trained.base.digest


def test_a_base_with_a_network_has_features_of_its_hidden_layer():
    recipe = replace(LARGE_FLEET.base, trees=2, leaves=4, laplacian=15, gaussian=16)
    base = train_base(TABLE.rows[:100], TABLE.labels[:100], recipe, 1).base
    assert base.network is not None
    assert base.d == 32


def test_equal_headers_are_in_one_fold_whatever_their_checksum():
    rows = np.repeat(TABLE.rows[:50], 3, axis=0)
    rows[:, 21] = np.arange(150)
    groups = header_groups(rows)
    seen = np.zeros(150, int)
    for inside in folds(groups, 1):
        seen += inside
        assert not set(groups[inside]) & set(groups[~inside])
    assert (seen == 1).all()
