"""Compares a candidate model with the best published one and with the start model, on labelled rows
of the operator that nothing was trained on.

Neither the loss nor the rate of false positives or true positives at the model's own threshold may
be worse than theirs by more than two standard errors of their figure (by so much chance alone moves
it between one set of rows and another), or by more than a tolerance, where that is larger.

A threshold that was set on the same rows, at a rate of false positives, has an error of its own: of
1,000 benign rows, ten decide where 1 % lies. What it may cost in true positives counts as well.

The tolerance is for what a fleet is there for: it teaches the model software that the operator does
not have, and that costs a little on the operator's own rows. In simulations of 20 honest rounds
(1000 devices, groups of 32, one seed, 11,297 canary rows) the loss rose from 0.092 to 0.131 at
ε = 4 and to 0.134 at ε = 1, and false positives from 3.3 to 3.9 and 4.9 %, while those on other
software fell from 38 to 9 %: two standard errors alone would refuse honest rounds. Both models stay
the same while rounds pass, so many small steps back are noticed like a single large one.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ERRORS = 2.0
"""Standard errors that a candidate may fall behind."""
RATE_TOLERANCE = 0.02
"""By so much a rate may be worse, whatever its standard error."""
LOSS_TOLERANCE = 0.75
"""By this share the loss may be larger, whatever its standard error."""
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
    is_fitted: bool = False
    """Whether the threshold was set on these rows, at a rate of false positives. Then it is known
    no better than the rate is."""

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
        *_worse(candidate, best, ""),
        *_worse(candidate, start, "_OF_START"),
    ]
    return CanaryResult(
        figures(candidate), figures(best), figures(start), len(candidate.labels), tuple(reasons)
    )


def _worse(model: CanaryRows, other: CanaryRows, suffix: str) -> list[str]:
    mine, theirs = figures(model), figures(other)
    benign = int(np.sum(model.labels == 0))
    margins = {
        "LOSS": (
            mine.loss - theirs.loss,
            max(ERRORS * _error_of_mean(other.losses), LOSS_TOLERANCE * theirs.loss),
        ),
        "FALSE_POSITIVES": (mine.fpr - theirs.fpr, _room(theirs.fpr, benign)),
        "TRUE_POSITIVES": (
            theirs.tpr - mine.tpr,
            math.hypot(
                _room(theirs.tpr, len(model.labels) - benign), _slack(other, -1), _slack(model, 1)
            ),
        ),
    }
    # A rate without rows is not a number, and no comparison with it holds. A rounding error is no
    # difference.
    return [f"{name}{suffix}" for name, (behind, room) in margins.items() if behind > room + 1e-12]


def _error_of_mean(values: Floats) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _room(rate: float, count: int) -> float:
    """By how much a rate may be worse. One more of each kind is added to the rows: a rate of 0 is
    not known exactly.
    """
    if not count:
        return math.nan
    smooth = (rate * count + 1) / (count + 2)
    return max(ERRORS * math.sqrt(smooth * (1 - smooth) / count), RATE_TOLERANCE)


def _slack(rows: CanaryRows, sign: int) -> float:
    """By how much the rate of true positives changes where a fitted threshold is set at a rate of
    false positives that is ERRORS standard errors higher (`sign` 1) or lower (-1).
    """
    benign = np.sort(rows.probabilities[rows.labels == 0])
    found = rows.probabilities[rows.labels == 1]
    count = len(benign)
    if not rows.is_fitted or not count or not len(found):
        return 0.0
    rate = figures(rows).fpr
    least = max(rate, 1 / count)
    moved = rate + sign * ERRORS * math.sqrt(least * (1 - least) / count)
    above = benign[max(0, count - 1 - int(max(0.0, moved) * count))]
    return abs(float(np.mean(found > above)) - float(np.mean(found >= rows.threshold)))


def _rate(alarms: Floats, of_class: NDArray[np.bool_]) -> float:
    return float(alarms[of_class].mean()) if of_class.any() else math.nan
