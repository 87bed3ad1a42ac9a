"""Trains the packaged start model on rows from the project's own generator.

`python -m server_stub.publishing.bundled_model agent/detector/start_model.safetensors` writes it.

No row is from a file or a data set. The model is marked as a demonstration.
"""

import sys
from pathlib import Path

import numpy as np

from agent.detector.model import LogisticModel, Metrics, metrics, probability, to_safetensors
from agent.detector.synthetic import generate, hold_out
from agent.detector.transform import transform

ROWS = 6000
SEED = 20261124
DECIMALS = 4
"""Weights are rounded, so that every processor makes the same file."""


def make() -> tuple[bytes, Metrics]:
    """Train the model. Returns its file, and its metrics on groups outside the training data."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(SEED)
    train, held_out = hold_out(generate(rng, ROWS), rng, 0.2)
    trained = LogisticRegression(C=10, solver="newton-cholesky", tol=1e-8).fit(
        transform(train.rows), train.labels
    )
    weights = np.asarray(
        np.round(np.concatenate([trained.coef_[0], trained.intercept_]), DECIMALS), dtype=np.float64
    )
    model = LogisticModel(weights)
    return to_safetensors(model, demonstration=True), metrics(
        held_out.labels, probability(model, transform(held_out.rows))
    )


if __name__ == "__main__":
    content, quality = make()
    Path(sys.argv[1]).write_bytes(content)
    print(  # noqa: T201
        f"accuracy {quality.accuracy:.3f}, AUC {quality.auc:.4f}, false positives {quality.fpr:.3f}"
        " on groups outside the training data"
    )
