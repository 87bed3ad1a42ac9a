"""The model: a logistic regression over the transform's outputs. Its file, its opinion of rows, and
its quality.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from agent.detector.schema import SCHEMA
from agent.detector.transform import OUTPUTS
from agent.errors import PeerError

DIMENSION = OUTPUTS + 1
"""Number of weights: one for each output of the transform, then the bias."""
MODEL = "logistic"
Floats = NDArray[np.float64]
_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """`weights` is float64 (116,), finite."""

    weights: Floats

    def __post_init__(self) -> None:
        if (
            self.weights.shape != (DIMENSION,)
            or self.weights.dtype != np.float64
            or not np.isfinite(self.weights).all()
        ):
            raise ValueError(f"expected {DIMENSION} finite float64 weights")


@dataclass(frozen=True)
class Metrics:
    """The quality of a model on labelled rows; `nan` where a class is missing."""

    accuracy: float
    auc: float
    fpr: float
    """Share of benign rows called malicious at probability 0.5."""
    tpr: float
    """Share of malicious rows called malicious at probability 0.5."""
    tpr_at_fpr_1: float
    """Share of malicious rows found at the threshold that calls at most 1 % of the benign rows
    malicious."""


def zeros() -> LogisticModel:
    """Return the untrained model: 0.5 for every row."""
    return LogisticModel(np.zeros(DIMENSION))


def to_safetensors(
    model: LogisticModel, *, demonstration: bool = False, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Write the model as a file with one tensor, "weights"."""
    more = {"demonstration": "1"} if demonstration else {}
    return save({"weights": model.weights}, {"schema": SCHEMA, **more, **(metadata or {})})


def from_safetensors(content: bytes) -> LogisticModel:
    """Read a model file.

    Raises PeerError MODEL_WRONG_SHAPE unless it holds exactly the expected tensor, and
    MODEL_NOT_FINITE for nan or infinity.
    """
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _refused("MODEL_WRONG_SHAPE", f"cannot be read ({type(error).__name__})") from error
    weights = tensors.get("weights")
    if (
        weights is None
        or len(tensors) != 1
        or weights.shape != (DIMENSION,)
        or weights.dtype not in _DTYPES
    ):
        raise _refused("MODEL_WRONG_SHAPE", f"does not hold {DIMENSION} weights and nothing else")
    if not np.isfinite(weights).all():
        raise _refused("MODEL_NOT_FINITE", "holds values that are not numbers")
    return LogisticModel(weights.astype(np.float64))


def probability(model: LogisticModel, inputs: Floats) -> Floats:
    """Return the probability of being malicious (n,) of transformed rows (n, 115)."""
    logits: Floats = inputs @ model.weights[:-1] + model.weights[-1]
    probabilities: Floats = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return probabilities


def metrics(labels: NDArray[np.integer], probabilities: Floats) -> Metrics:
    """Compare probabilities with labels (1 = malicious)."""
    malicious, benign = probabilities[labels == 1], probabilities[labels == 0]
    return Metrics(
        accuracy=float(np.mean((probabilities >= 0.5) == (labels == 1)))
        if len(labels)
        else float("nan"),
        auc=_auc(malicious, benign),
        fpr=_share(benign, 0.5),
        tpr=_share(malicious, 0.5),
        tpr_at_fpr_1=_tpr_at(malicious, benign, 0.01),
    )


def _share(probabilities: Floats, threshold: float) -> float:
    return float(np.mean(probabilities >= threshold)) if len(probabilities) else float("nan")


def _auc(malicious: Floats, benign: Floats) -> float:
    """Return the probability that a malicious row scores above a benign one; a tie counts half
    (Mann-Whitney U).
    """
    if not len(malicious) or not len(benign):
        return float("nan")
    ordered = np.sort(benign)
    below = np.searchsorted(ordered, malicious, "left")
    upto = np.searchsorted(ordered, malicious, "right")
    return float((below + upto).mean() / (2 * len(benign)))


def _tpr_at(malicious: Floats, benign: Floats, fpr: float) -> float:
    """Return the true-positive rate at the lowest threshold that at most a share `fpr` of the
    benign rows exceeds.
    """
    if not len(malicious) or not len(benign):
        return float("nan")
    allowed = int(fpr * len(benign))
    return float(np.mean(malicious > np.sort(benign)[len(benign) - 1 - allowed]))


def _refused(code: str, why: str) -> PeerError:
    return PeerError(
        code, f"The model {why}; it is not used.", "The model in use stays. Tell the operator."
    )
