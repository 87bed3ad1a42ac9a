"""The figures of a detector on rows that nobody was trained on, and their mean over seeds. Pure.

Sources differ: a detector may be perfect on the system files that it knows and call every second
program of a stranger malware. So false alarms are counted for each source, all at one threshold:
the one that keeps KEPT of the malware.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detector.model import metrics

KEPT = 0.97
"""Share of the malware that scores above the threshold."""
FIGURES = ("auc", "tpr_at_fpr_1", "fpr")


@dataclass(frozen=True)
class Judgement:
    """One detector on one hold-out. Rates are shares from 0 to 1."""

    auc: float
    tpr_at_fpr_1: float
    """Share of the malware found at the threshold that 1 % of the benign rows exceed."""
    fpr: float
    """False alarms at the threshold that keeps KEPT of the malware."""
    fpr_of: dict[str, float]
    """The same for the benign rows of each source."""

    def values(self) -> dict[str, float]:
        """Every figure by one name."""
        single = {name: getattr(self, name) for name in FIGURES}
        return {**single, **{f"fpr {name}": value for name, value in self.fpr_of.items()}}


@dataclass(frozen=True)
class Spread:
    mean: float
    sd: float
    """Sample standard deviation over the seeds; 0 for one seed."""

    def to_json(self) -> dict[str, float]:
        return {"mean": round(self.mean, 4), "sd": round(self.sd, 4)}


@dataclass(frozen=True, eq=False)
class Holdout:
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    names: tuple[str, ...]

    def judge(self, scores: NDArray[np.float64]) -> Judgement:
        """Judge scores (n,); higher is more malicious."""
        found, benign = metrics(self.labels, scores), self.labels == 0
        threshold = float(np.quantile(scores[~benign], 1 - KEPT))
        alarms = benign & (scores >= threshold)
        return Judgement(
            auc=found.auc,
            tpr_at_fpr_1=found.tpr_at_fpr_1,
            fpr=float(alarms.sum() / max(1, benign.sum())),
            fpr_of={
                name: float(alarms[inside].sum() / inside.sum())
                for source, name in enumerate(self.names)
                if (inside := benign & (self.sources == source)).any()
            },
        )


def spread(judgements: Sequence[Judgement]) -> dict[str, Spread]:
    """Return mean and standard deviation of every figure over the seeds."""
    columns: dict[str, list[float]] = {}
    for judgement in judgements:
        for name, value in judgement.values().items():
            columns.setdefault(name, []).append(value)
    return {
        name: Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
        for name, values in columns.items()
    }


def to_json(spreads: dict[str, Spread]) -> dict[str, Any]:
    """Return the figures as the schema has them."""
    return {
        **{name: spreads[name].to_json() for name in FIGURES},
        "fpr_of": {
            name.removeprefix("fpr "): one.to_json()
            for name, one in spreads.items()
            if name.startswith("fpr ")
        },
    }


def percent(spread_: Spread) -> str:
    """Return a share as a percentage with its standard deviation, for a table."""
    text = f"{100 * spread_.mean:.1f}"
    return text if math.isclose(spread_.sd, 0) else f"{text} ± {100 * spread_.sd:.1f}"
