"""Evaluates a model on the hold-out, with the uncertainty of the figures that a verdict needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.detector.model import LogisticModel, Metrics, metrics, probability
from server_stub.demo.intervals import Interval, delong, wilson
from server_stub.simulation.data import Table

MALICIOUS_FROM = 0.5
"""The probability from which `metrics` counts a row as called malicious."""


@dataclass(frozen=True)
class Alarms:
    """Benign rows called malicious at the threshold of the headline."""

    share: float
    interval: Interval
    """95 % confidence interval of `share`."""


@dataclass(frozen=True)
class Evaluation:
    """A model's figures on the rows that no device had."""

    metrics: Metrics
    accuracy_interval: Interval
    """95 % confidence interval of `metrics.accuracy`."""
    auc_interval: Interval
    """95 % confidence interval of `metrics.auc`."""
    alarms: Alarms | None = None
    """On software that the operator does not know; None where it was not counted."""
    alarms_known: Alarms | None = None
    """On other software of the kinds that the operator knows."""


def evaluate(weights: NDArray[np.float64], table: Table) -> Evaluation:
    """Judge weights (116,) on the hold-out of a table."""
    return evaluate_chances(
        table.holdout_labels, probability(LogisticModel(weights), table.holdout_inputs)
    )


def evaluate_chances(labels: NDArray[np.int64], chances: NDArray[np.float64]) -> Evaluation:
    """Judge the probabilities (n,) that a model gave to labelled rows."""
    hits = int(np.sum((chances >= MALICIOUS_FROM) == (labels == 1)))
    return Evaluation(
        metrics(labels, chances),
        wilson(hits, len(labels)),
        delong(chances[labels == 1], chances[labels == 0]),
    )
