"""A small neural network, 115 inputs to 64 to 32 units to one logit, evaluated with numpy exactly
as scikit-learn does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.detector.families.family import Floats
from agent.detector.families.tensors import Form
from agent.detector.transform import OUTPUTS

FIRST, HIDDEN = 64, 32
SIZES = (OUTPUTS, FIRST, HIDDEN, 1)
FORMS = {
    name: form
    for layer, (width, height) in enumerate(pairwise(SIZES))
    for name, form in (
        (f"mlp.{layer}.weight", Form(np.float64, (width, height))),
        (f"mlp.{layer}.bias", Form(np.float64, (height,))),
    )
}


@dataclass(frozen=True, eq=False)
class Perceptron:
    weights: tuple[Floats, ...]
    """(115, 64), (64, 32), (32, 1)"""
    biases: tuple[Floats, ...]
    """(64,), (32,), (1,)"""

    def hidden(self, inputs: Floats) -> Floats:
        """Return the last hidden layer (n, 32) of transformed rows (n, 115), not negative."""
        layer = inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layer = np.maximum(layer @ weight + bias, 0)
        return layer

    def logits(self, hidden: Floats) -> Floats:
        """Return the logit (n,) that belongs to a hidden layer (n, 32)."""
        column: Floats = hidden @ self.weights[-1] + self.biases[-1]
        return column[:, 0]

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        return {
            **{f"mlp.{layer}.weight": weight for layer, weight in enumerate(self.weights)},
            **{f"mlp.{layer}.bias": bias for layer, bias in enumerate(self.biases)},
        }


def from_tensors(tensors: Mapping[str, NDArray[np.generic]]) -> Perceptron:
    """Take the network from tensors whose form has been checked."""
    layers = range(len(SIZES) - 1)
    return Perceptron(
        tuple(tensors[f"mlp.{layer}.weight"].astype(np.float64) for layer in layers),
        tuple(tensors[f"mlp.{layer}.bias"].astype(np.float64) for layer in layers),
    )
