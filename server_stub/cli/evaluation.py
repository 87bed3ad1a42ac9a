"""Scores a model on a table of labelled rows."""

from pathlib import Path
from typing import Any

import numpy as np

from agent.detector.families.family import Floats, Labels
from agent.detector.model import metrics
from agent.detector.scoring import read_model
from agent.errors import OperatorActionError
from agent.protocol.jobs import ModelFiles
from server_stub.cli.operator_table import OperatorTable, read_table
from server_stub.storage.records import Model

BINS = 10
"""Of the reliability curve."""


def evaluate(
    model: Model, files: ModelFiles, path: Path, *, chart: Path | None = None
) -> dict[str, Any]:
    """Score `model` on a .npz file with X (n, 29) and y (n,) of 0 and 1.

    Where the table has a split, only its hold-out rows count. Raises UserActionError BAD_TABLE,
    NOT_NUMBERS, OperatorActionError CANNOT_WRITE.
    """
    table = read_table(path).judged
    detector = read_model(files)
    chances = detector.probability(table.rows)
    figures = metrics(table.labels, chances).__dict__
    bounds = detector.head.bounds
    curve = reliability(table.labels, chances)
    answer: dict[str, Any] = {
        "model_version": model.version,
        "rows": len(table),
        **{name: _rounded(value) for name, value in figures.items()},
        "balanced_accuracy": _rounded((figures["tpr"] + 1 - figures["fpr"]) / 2),
        "tpr_at_fpr_01": _rounded(tpr_at(table.labels, chances, 0.001)),
        "malicious_from": bounds.malicious_from,
        "benign_below": bounds.benign_below,
        "stated_fpr": bounds.false_positive_rate,
        "sources": by_source(table, chances, bounds.malicious_from),
        "reliability": curve,
    }
    if chart is not None:
        try:
            draw(curve, chart)
        except OSError as error:
            raise OperatorActionError(
                "CANNOT_WRITE",
                f"The chart could not be written: {error.strerror}.",
                "Choose another place with --chart.",
            ) from error
        answer["chart"] = str(chart)
    return answer


def by_source(table: OperatorTable, chances: Floats, threshold: float) -> dict[str, Any]:
    """Return each source's rows and rates at probability 0.5 and at the model's threshold."""
    found = {}
    for name in sorted(set(table.sources.tolist())):
        chosen = table.sources == name
        labels, own = table.labels[chosen], chances[chosen]
        benign, malicious = own[labels == 0], own[labels == 1]
        found[name] = {
            "benign": len(benign),
            "malicious": len(malicious),
            "fpr": _share(benign, 0.5),
            "tpr": _share(malicious, 0.5),
            "fpr_at_threshold": _share(benign, threshold),
            "tpr_at_threshold": _share(malicious, threshold),
        }
    return found


def reliability(labels: Labels, chances: Floats) -> list[dict[str, Any]]:
    """Return, for each tenth of the probabilities, what the model said and what was the case."""
    places = np.minimum((chances * BINS).astype(int), BINS - 1)
    return [
        {
            "from": place / BINS,
            "rows": int(np.sum(chosen)),
            "said": _rounded(np.mean(chances[chosen])),
            "malicious": _rounded(np.mean(labels[chosen])),
        }
        for place in range(BINS)
        if (chosen := places == place).any()
    ]


def tpr_at(labels: Labels, chances: Floats, fpr: float) -> float:
    """Return the share of malicious rows found at the threshold that at most a share `fpr` of the
    benign rows exceeds.
    """
    malicious, benign = chances[labels == 1], np.sort(chances[labels == 0])
    if not len(malicious) or not len(benign):
        return float("nan")
    return float(np.mean(malicious > benign[len(benign) - 1 - int(fpr * len(benign))]))


def draw(curve: list[dict[str, Any]], path: Path) -> None:
    """Draw the reliability curve as a PNG. Raises OSError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="as often as said")
    stated = [point["said"] for point in curve]
    axes.plot(stated, [point["malicious"] for point in curve], marker="o", label="this model")
    axes.set(xlabel="probability that the model gives", ylabel="share that is malicious")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(path)


def _share(chances: Floats, threshold: float) -> float | None:
    return _rounded(np.mean(chances >= threshold)) if len(chances) else None


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 6)
