"""What simulated devices hold and learn: rows, features of a model family, local steps.

Training is full-batch gradient descent on the logistic loss, classes balanced as on a device (which
takes its rows one by one: that differs in the second order of the step).
"""

from dataclasses import dataclass

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
"""The constant input of the bias beside features of norm 1."""
MAX_CLASS_WEIGHT = 5.0
HELD_FLOATS = 1 << 27
"""Features are held up to half a GiB; beyond, they are made anew from the 115 inputs whenever they
are needed."""
JUDGED_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Recipe:
    """How one family is trained. The clipping norm of a round is `reach` over the number of rounds:
    where every round moves the model as far as it may, the way is `reach` and the noise beside it
    is the same whatever the rounds.
    """

    family: str
    d: int
    steps: int
    rate: float
    reach: float

    def clip_milli(self, rounds: int) -> int:
        return max(1, round(1000 * self.reach / rounds))


RECIPES = {
    "fourier": Recipe("fourier", FOURIER + 1, 5, 40.0, 80.0),
    "logistic": Recipe("logistic", OUTPUTS + 1, 5, 4.0, 10.0),
}


class Inputs:
    """What the weights are multiplied with, for many rows."""

    def __init__(self, rows: NDArray[np.uint64], recipe: Recipe) -> None:
        """`rows`: header features (n, 29)."""
        self._recipe = recipe
        self._plain = transform(rows).astype(np.float32)
        self._held = self._made(slice(None)) if len(rows) * recipe.d <= HELD_FLOATS else None

    def __len__(self) -> int:
        return len(self._plain)

    def of(self, rows: slice) -> Floats32:
        """Of some rows, (n, d)."""
        return self._made(rows) if self._held is None else self._held[rows]

    def _made(self, rows: slice) -> Floats32:
        plain, fourier_family = self._plain[rows], self._recipe.family == "fourier"
        wide = np.empty((len(plain), self._recipe.d), np.float32)
        wide[:, :-1] = fourier.features(plain, self._recipe.d - 1) if fourier_family else plain
        wide[:, -1] = BIAS if fourier_family else 1.0
        return wide


def judge(weights: Floats, inputs: Inputs, labels: NDArray[np.int64]) -> Metrics:
    """How good weights (d,) are on rows that no device has."""
    narrow = weights.astype(np.float32)
    starts = range(0, len(inputs), JUDGED_AT_ONCE)
    logits = np.concatenate(
        [inputs.of(slice(start, start + JUDGED_AT_ONCE)) @ narrow for start in starts]
    ).astype(np.float64)
    return metrics(labels, 1 / (1 + np.exp(-np.clip(logits, -500, 500))))


class Fleet:
    """All devices' rows, equally many on each."""

    def __init__(
        self, shares: tuple[Share, ...], recipe: Recipe, flipped: NDArray[np.bool_]
    ) -> None:
        """`flipped`: devices that learn from the opposite labels."""
        self.recipe = recipe
        self.rows_each = len(shares[0].labels)
        self._labels = np.stack([share.labels for share in shares]).astype(np.float32)
        self._labels[flipped] = 1 - self._labels[flipped]
        self._inputs = Inputs(np.concatenate([share.rows for share in shares]), recipe)

    def update(self, weights: Floats, device: int) -> Floats:
        """Local minus global weights (d,) of a device after its steps; not clipped."""
        inputs = self._inputs.of(slice(device * self.rows_each, (device + 1) * self.rows_each))
        labels = self._labels[device]
        balanced = self._balanced(labels) * np.float32(self.recipe.rate / self.rows_each)
        start = weights.astype(np.float32)
        reached = start.copy()
        for _ in range(self.recipe.steps):
            logits = np.clip(inputs @ reached, -80, 80)
            reached -= (balanced * (1 / (1 + np.exp(-logits)) - labels)) @ inputs
        return (reached - start).astype(np.float64)

    @staticmethod
    def _balanced(labels: Floats32) -> Floats32:
        """Both classes weigh the same in total, within MAX_CLASS_WEIGHT."""
        malicious = float(labels.mean())
        share = np.where(labels == 1, malicious, 1 - malicious)
        weights: Floats32 = np.minimum(0.5 / np.maximum(share, 1e-6), MAX_CLASS_WEIGHT).astype(
            np.float32
        )
        return weights
