"""Scores a model on a table of labelled rows."""

from pathlib import Path
from typing import Any

from agent.detector.model import from_safetensors, metrics, probability
from agent.detector.transform import transform
from server_stub.simulation.data import rows_of
from server_stub.storage.records import Model


def evaluate(model: Model, table: Path) -> dict[str, Any]:
    """Score `model` on a .npz file with X (n, 29) and y (n,) of 0 and 1.

    Rows that no file header can have do not count. Raises UserActionError BAD_TABLE.
    """
    rows, labels = rows_of(table)
    figures = metrics(labels, probability(from_safetensors(model.content), transform(rows)))
    return {
        "model_version": model.version,
        "rows": len(labels),
        **{name: round(value, 6) for name, value in figures.__dict__.items()},
    }
