"""Updates are minus the gradient of the loss, and tell nothing about how many rows there are."""

import numpy as np
import pytest

from agent.detector.families import linear
from agent.detector.families.family import Prepared

DRAW = np.random.default_rng(5)
PREPARED = Prepared(DRAW.normal(size=40), DRAW.normal(size=(40, 6)).astype(np.float32))
HEAD = DRAW.normal(size=6)
LABELS = (np.arange(40) % 4 == 0).astype(np.int64)


def loss(head, labels, weights):
    logit = PREPARED.offsets + PREPARED.features.astype(np.float64) @ head
    signed = np.where(labels == 1, logit, -logit)
    return float((weights * np.logaddexp(0, -signed)).sum())


@pytest.mark.parametrize(
    ("update", "labels", "weights"),
    [
        (linear.benign_update(PREPARED, HEAD), np.zeros(40, int), linear.uniform(40)),
        (linear.labelled_update(PREPARED, LABELS, HEAD), LABELS, linear.balanced(LABELS)),
    ],
)
def test_an_update_is_minus_the_gradient(update, labels, weights):
    step = 1e-5
    for place in range(6):
        moved = step * (np.arange(6) == place)
        slope = loss(HEAD + moved, labels, weights) - loss(HEAD - moved, labels, weights)
        assert update[place] == pytest.approx(-slope / (2 * step), abs=1e-5)


def test_the_number_of_rows_does_not_enter():
    twice = PREPARED.take(np.tile(np.arange(40), 2))
    for once, again in (
        (linear.benign_update(PREPARED, HEAD), linear.benign_update(twice, HEAD)),
        (
            linear.labelled_update(PREPARED, LABELS, HEAD),
            linear.labelled_update(twice, np.tile(LABELS, 2), HEAD),
        ),
    ):
        assert again == pytest.approx(once, abs=1e-6)


def test_both_classes_weigh_the_same_within_a_bound():
    weights = linear.balanced(LABELS)
    assert weights.sum() == pytest.approx(1)
    assert weights[LABELS == 1].sum() == pytest.approx(0.5)
    rare = (np.arange(1000) == 0).astype(np.int64)
    assert linear.balanced(rare)[0] / linear.balanced(rare)[1] < 2 * linear.MAX_CLASS_WEIGHT
    assert linear.balanced(np.zeros(3, np.int64)).sum() == pytest.approx(1)


def test_extreme_logits_give_finite_updates():
    far = Prepared(np.array([1e9, -1e9]), np.ones((2, 6), np.float32))
    assert np.isfinite(linear.benign_update(far, HEAD)).all()
    assert linear.probability(linear.logits(far, HEAD)).tolist() == pytest.approx([1, 0])
