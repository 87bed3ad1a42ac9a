"""What every family shares: scores from a head, and the gradients that devices send.

Scores and gradients are float32 inside: the error is far below the noise of a round.
"""

import numpy as np

from agent.detector.families.family import Floats, Floats32, Labels, Prepared

MAX_LOGIT = 80.0
"""exp of it still fits into a float32."""
MAX_CLASS_WEIGHT = 5.0
"""A class of few rows weighs at most this many times its share."""


def logits(prepared: Prepared, head: Floats) -> Floats:
    """Return the logit (n,) of prepared rows under a head (d,)."""
    return prepared.offsets + (prepared.features @ head.astype(np.float32)).astype(np.float64)


def probability(logit: Floats) -> Floats:
    """Return the probability of being malicious (n,)."""
    values: Floats = 1 / (1 + np.exp(-np.clip(logit, -500, 500)))
    return values


def benign_update(prepared: Prepared, head: Floats) -> Floats:
    """Return what a device sends that has benign rows only: minus the mean gradient (d,) of the
    logistic loss, not clipped.

    Its length tells how malicious the head finds the rows; their number does not enter.
    """
    return mean_step(prepared, head, np.zeros(len(prepared), np.float32), uniform(len(prepared)))


def labelled_update(prepared: Prepared, labels: Labels, head: Floats) -> Floats:
    """Return minus the gradient (d,) over rows of both sorts, each sort with the same weight up to
    MAX_CLASS_WEIGHT; not clipped. The weights add up to one whatever the counts are.
    """
    return mean_step(prepared, head, labels.astype(np.float32), balanced(labels))


def uniform(count: int) -> Floats32:
    """Return the same weight (n,) for every row; they add up to one."""
    return np.full(count, 1 / max(1, count), np.float32)


def balanced(labels: Labels) -> Floats32:
    """Return weights (n,) that add up to one and give both classes the same total, up to
    MAX_CLASS_WEIGHT times a class's share.
    """
    share = np.bincount(labels, minlength=2) / max(1, len(labels))
    factor = np.minimum(0.5 / np.maximum(share, 1e-12), MAX_CLASS_WEIGHT)[labels]
    weights: Floats32 = (factor / max(factor.sum(), 1e-12)).astype(np.float32)
    return weights


def mean_step(prepared: Prepared, head: Floats, targets: Floats32, weights: Floats32) -> Floats:
    """Return Σ weights·(target - p)·φ (d,), a step that lowers the loss."""
    bounded = np.clip(logits(prepared, head), -MAX_LOGIT, MAX_LOGIT).astype(np.float32)
    residual = weights * (targets - 1 / (1 + np.exp(-bounded)))
    return (residual @ prepared.features).astype(np.float64)
