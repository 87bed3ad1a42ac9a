"""Scores a model on a table of labelled rows."""

from pathlib import Path
from typing import Any

import numpy as np

from agent.detector.model import from_safetensors, metrics, probability
from agent.detector.transform import transform
from agent.errors import OperatorActionError
from server_stub.storage.records import Model

FEATURES = 29


def evaluate(model: Model, table: Path) -> dict[str, Any]:
    """Score `model` on a .npz file with X (n, 29) and y (n,) of 0 and 1.

    Raises OperatorActionError BAD_TABLE, OSError.
    """
    try:
        with np.load(table, allow_pickle=False) as content:
            rows, labels = np.asarray(content["X"]), np.asarray(content["y"]).astype(np.int64)
        if (
            rows.ndim != 2
            or rows.shape[1] != FEATURES
            or labels.shape != rows.shape[:1]
            or not np.isin(labels, (0, 1)).all()
        ):
            raise ValueError("shape")
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise OperatorActionError(
            "BAD_TABLE",
            "The table cannot be used.",
            f"Expected a .npz file with X (n, {FEATURES}) and y (n,) of 0 and 1.",
        ) from error
    figures = metrics(labels, probability(from_safetensors(model.content), transform(rows)))
    return {
        "model_version": model.version,
        "rows": len(labels),
        **{name: round(value, 6) for name, value in figures.__dict__.items()},
    }
