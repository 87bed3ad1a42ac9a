"""Models to compare the demonstration with.

They come from the same rounds without noise, the same rounds with shuffled labels, and training in
one place. The first two do the devices' arithmetic for all devices at once: each pass over a
device's rows is one full-batch gradient step. A device takes its rows one by one, which differs in
the second order of the step.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from agent.detector.model import Metrics
from agent.detector.transform import transform
from server_stub.simulation.data import Share

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """The arithmetic of one round on a device, and how many rounds there are."""

    steps: int
    rate: float
    clip: float
    server_rates: tuple[float, ...]
    """For each round: how far the model moves along the mean update; 1 is all of it."""
    max_class_weight: float = 5.0
    """As in agent.worker.train."""


def federated(shares: Sequence[Share], start: Floats, training: Training) -> Floats:
    """Weights (116,) after all rounds without noise: every device trains, its update is clipped,
    and the model moves along the mean.
    """
    device = np.concatenate(
        [np.full(len(share.labels), number) for number, share in enumerate(shares)]
    )
    labels = np.concatenate([share.labels for share in shares])
    inputs = transform(np.concatenate([share.rows for share in shares]))
    inputs = np.hstack([inputs, np.ones((len(labels), 1))])
    # Rows stand device by device, so one `reduceat` sums the gradient of each.
    starts = np.flatnonzero(np.diff(device, prepend=-1))
    counts = np.diff(np.append(starts, len(labels)))
    importance = _importance(device, labels, counts, training.max_class_weight)
    weights = start.copy()
    for server_rate in training.server_rates:
        local = np.tile(weights, (len(shares), 1))
        for _ in range(training.steps):
            chance = 1 / (
                1 + np.exp(-np.clip(np.einsum("ij,ij->i", inputs, local[device]), -500, 500))
            )
            gradient = (
                np.add.reduceat(inputs * ((chance - labels) * importance)[:, None], starts)
                / counts[:, None]
            )
            local -= training.rate * gradient
        update = local - weights
        norm = np.linalg.norm(update, axis=1, keepdims=True)
        clipped = update * np.minimum(1.0, training.clip / np.maximum(norm, 1e-12))
        weights += server_rate * clipped.mean(axis=0)
    return weights


def shuffled(shares: Sequence[Share], seed: int) -> tuple[Share, ...]:
    """The same rows with the labels of other rows: there is nothing to learn from them."""
    labels = np.random.default_rng(seed).permutation(
        np.concatenate([share.labels for share in shares])
    )
    ends = np.cumsum([len(share.labels) for share in shares])
    return tuple(
        Share(share.rows, piece)
        for share, piece in zip(shares, np.split(labels, ends[:-1]), strict=True)
    )


def mean_of(values: Sequence[Metrics]) -> Metrics:
    """The mean of each field."""
    return Metrics(*(float(np.mean(column)) for column in zip(*map(astuple, values), strict=True)))


def central(shares: Sequence[Share]) -> Floats:
    """Weights (116,) of a logistic regression on all devices' rows in one place."""
    from sklearn.linear_model import LogisticRegression

    inputs = transform(np.concatenate([share.rows for share in shares]))
    fitted = LogisticRegression(C=10, max_iter=2000).fit(
        inputs, np.concatenate([share.labels for share in shares])
    )
    return np.concatenate([fitted.coef_[0], fitted.intercept_]).astype(np.float64)


def _importance(
    device: NDArray[np.int64], labels: NDArray[np.int64], counts: NDArray[np.int64], most: float
) -> Floats:
    """Weights of rows that make both classes of a device count the same in total, up to `most`."""
    malicious = np.bincount(device, weights=labels) / counts
    share = np.where(labels == 1, malicious[device], 1 - malicious[device])
    return np.minimum(0.5 / np.maximum(share, 1e-12), most)
