"""How simulated devices learn: their rows, the features of a model family, and the local steps.

Training is full-batch gradient descent on the logistic loss, with classes balanced as on a device.
A device takes its rows one by one, which differs in the second order of the step.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.detector import fourier
from agent.detector.model import Metrics, metrics
from agent.detector.transform import OUTPUTS, transform
from server_stub.simulation.data import Share

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
FOURIER = 4095
BIAS = 0.3
"""The constant input of the bias; the features beside it have norm 1."""
MAX_CLASS_WEIGHT = 5.0
CACHED_FLOATS = 1 << 27
"""Features are cached up to half a GiB. Beyond that they are computed from the 115 inputs each
time."""
EVALUATED_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Recipe:
    """How a model family is trained.

    The clipping norm of a round is `reach` divided by the number of rounds. If every round moves
    the model as far as it may, the whole way is `reach`, and the noise relative to it does not
    depend on the number of rounds.
    """

    family: str
    d: int
    steps: int
    rate: float
    reach: float

    def clip_milli(self, rounds: int) -> int:
        return max(1, round(1000 * self.reach / rounds))


class Learning(Protocol):
    """What a plan of rounds needs to know of a recipe."""

    @property
    def family(self) -> str: ...

    @property
    def d(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def rate(self) -> float: ...

    def clip_milli(self, rounds: int) -> int: ...


class Learners(Protocol):
    """All devices of a simulation, and the server's step."""

    @property
    def recipe(self) -> Learning: ...

    def update(self, weights: Floats, device: int) -> Floats:
        """What a device would send (d,), not clipped."""
        ...

    def advance(self, weights: Floats, mean: Floats) -> Floats:
        """The weights (d,) of the next round, from the mean of the updates (d,)."""
        ...


RECIPES = {
    "fourier": Recipe("fourier", FOURIER + 1, 5, 40.0, 80.0),
    "logistic": Recipe("logistic", OUTPUTS + 1, 5, 4.0, 10.0),
}


class Inputs:
    """The features of many rows, which the weights are multiplied with."""

    def __init__(self, rows: NDArray[np.uint64], recipe: Recipe) -> None:
        """`rows`: header features (n, 29)."""
        self._recipe = recipe
        self._inputs = transform(rows).astype(np.float32)
        self._cached = self._compute(slice(None)) if len(rows) * recipe.d <= CACHED_FLOATS else None

    def __len__(self) -> int:
        return len(self._inputs)

    def of(self, rows: slice) -> Floats32:
        """The features of some rows, (n, d)."""
        return self._compute(rows) if self._cached is None else self._cached[rows]

    def _compute(self, rows: slice) -> Floats32:
        inputs, is_fourier = self._inputs[rows], self._recipe.family == "fourier"
        wide = np.empty((len(inputs), self._recipe.d), np.float32)
        wide[:, :-1] = fourier.features(inputs, self._recipe.d - 1) if is_fourier else inputs
        wide[:, -1] = BIAS if is_fourier else 1.0
        return wide


def evaluate(weights: Floats, inputs: Inputs, labels: NDArray[np.int64]) -> Metrics:
    """The metrics of weights (d,) on rows that no device has."""
    narrow = weights.astype(np.float32)
    # In pieces: the features of a large hold-out would not fit into memory at once.
    starts = range(0, len(inputs), EVALUATED_AT_ONCE)
    logits = np.concatenate(
        [inputs.of(slice(start, start + EVALUATED_AT_ONCE)) @ narrow for start in starts]
    ).astype(np.float64)
    return metrics(labels, 1 / (1 + np.exp(-np.clip(logits, -500, 500))))


class Fleet:
    """The rows of all devices, the same number on each."""

    def __init__(
        self, shares: tuple[Share, ...], recipe: Recipe, flipped: NDArray[np.bool_]
    ) -> None:
        """`flipped`: devices that learn from flipped labels."""
        self._recipe = recipe
        self.rows_each = len(shares[0].labels)
        self._labels = np.stack([share.labels for share in shares]).astype(np.float32)
        self._labels[flipped] = 1 - self._labels[flipped]
        self._inputs = Inputs(np.concatenate([share.rows for share in shares]), recipe)

    @property
    def recipe(self) -> Learning:
        return self._recipe

    def advance(self, weights: Floats, mean: Floats) -> Floats:
        """Add the mean update."""
        return weights + mean

    def update(self, weights: Floats, device: int) -> Floats:
        """The local minus the global weights (d,) of a device after its steps, not clipped."""
        inputs = self._inputs.of(slice(device * self.rows_each, (device + 1) * self.rows_each))
        labels = self._labels[device]
        balanced = self._balanced(labels) * np.float32(self._recipe.rate / self.rows_each)
        # float32 halves time and memory; its error is far below the noise.
        start = weights.astype(np.float32)
        local = start.copy()
        for _ in range(self._recipe.steps):
            # e^80 still fits into a float32.
            logits = np.clip(inputs @ local, -80, 80)
            local -= (balanced * (1 / (1 + np.exp(-logits)) - labels)) @ inputs
        return (local - start).astype(np.float64)

    @staticmethod
    def _balanced(labels: Floats32) -> Floats32:
        """Weights that make both classes count the same in total, up to MAX_CLASS_WEIGHT."""
        malicious = float(labels.mean())
        share = np.where(labels == 1, malicious, 1 - malicious)
        weights: Floats32 = np.minimum(0.5 / np.maximum(share, 1e-6), MAX_CLASS_WEIGHT).astype(
            np.float32
        )
        return weights
