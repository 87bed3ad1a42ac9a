"""Compares a candidate model with the best published one and with the start model, on labelled rows
of the operator that nothing was trained on.

1. The loss, the rate of false positives and the rate of true positives at the published threshold
   are no worse than the best published model's by more than two standard errors of that model's own
   figure: by so much chance alone moves it between one set of rows and another.
2. The loss is not above the start model's at all, and the rates are within two standard errors of
   the start model's.

The best model is fixed by its loss, so many small steps back are noticed like a single large one.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ERRORS = 2.0
"""Standard errors that a candidate may fall behind."""
LEAST_PROBABILITY = 1e-6
"""Bounds the loss of one row: no single row decides."""


@dataclass(frozen=True, eq=False)
class CanaryRows:
    """What a model says about the operator's rows."""

    labels: NDArray[np.int64]
    """1 malicious, 0 benign (n,)."""
    probabilities: Floats
    """Of being malicious (n,)."""
    threshold: float
    """From which probability on the model calls a row malicious."""

    @property
    def losses(self) -> Floats:
        """The logistic loss of each row, both classes with the same total weight (n,)."""
        bounded = np.clip(self.probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        losses: Floats = -np.log(np.where(self.labels == 1, bounded, 1 - bounded))
        share = np.bincount(self.labels, minlength=2) / max(1, len(self.labels))
        return losses * (0.5 / np.maximum(share, 1e-12))[self.labels]

    @property
    def alarms(self) -> Floats:
        """1 for each row that the model calls malicious, else 0 (n,)."""
        return (self.probabilities >= self.threshold).astype(np.float64)


@dataclass(frozen=True)
class CanaryFigures:
    """The quality of one model on the operator's rows."""

    loss: float
    fpr: float
    tpr: float

    def to_json(self) -> dict[str, float]:
        """For the record of the round, rounded."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class CanaryResult:
    """Whether a candidate may be published."""

    candidate: CanaryFigures
    best: CanaryFigures
    start: CanaryFigures
    rows: int
    reasons: tuple[str, ...]
    """LOSS, FALSE_POSITIVES, TRUE_POSITIVES against the best published model; the same with
    _OF_START against the start model. None where the candidate may be published."""

    @property
    def passes(self) -> bool:
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """For the record of the round."""
        return {
            "rows": self.rows,
            "candidate": self.candidate.to_json(),
            "best": self.best.to_json(),
            "start": self.start.to_json(),
            "reasons": list(self.reasons),
        }


def figures(rows: CanaryRows) -> CanaryFigures:
    """Loss and rates; a rate is `nan` where its class is missing."""
    alarms = rows.alarms
    return CanaryFigures(
        float(rows.losses.mean()), _rate(alarms, rows.labels == 0), _rate(alarms, rows.labels == 1)
    )


def judge(candidate: CanaryRows, best: CanaryRows, start: CanaryRows) -> CanaryResult:
    """Compare a candidate with the best published model and the start model, on the same rows."""
    reasons = [
        *_worse(candidate, best, ERRORS, ""),
        *_worse(candidate, start, 0.0, "_OF_START"),
    ]
    return CanaryResult(
        figures(candidate), figures(best), figures(start), len(candidate.labels), tuple(reasons)
    )


def _worse(model: CanaryRows, other: CanaryRows, loss_errors: float, suffix: str) -> list[str]:
    mine, theirs = figures(model), figures(other)
    benign = int(np.sum(model.labels == 0))
    margins = {
        "LOSS": (mine.loss - theirs.loss, loss_errors * _error_of_mean(other.losses)),
        "FALSE_POSITIVES": (mine.fpr - theirs.fpr, ERRORS * _error_of_rate(theirs.fpr, benign)),
        "TRUE_POSITIVES": (
            theirs.tpr - mine.tpr,
            ERRORS * _error_of_rate(theirs.tpr, len(model.labels) - benign),
        ),
    }
    # A rate without rows is not a number, and no comparison with it holds. A rounding error is no
    # difference.
    return [f"{name}{suffix}" for name, (behind, room) in margins.items() if behind > room + 1e-12]


def _error_of_mean(values: Floats) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _error_of_rate(rate: float, count: int) -> float:
    """One more of each kind is added: a rate of 0 is not known exactly."""
    if not count:
        return math.nan
    smooth = (rate * count + 1) / (count + 2)
    return math.sqrt(smooth * (1 - smooth) / count)


def _rate(alarms: Floats, of_class: NDArray[np.bool_]) -> float:
    return float(alarms[of_class].mean()) if of_class.any() else math.nan
