"""Simulated devices that train the head of `base+head/1`, and the server's step beside them.

Devices share rows, so each row is scored once a round however many devices have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.detector.families import linear
from agent.detector.families.family import Floats, Floats32, Labels, Prepared
from server_stub.simulation.training import Learning
from server_stub.training import server_step
from server_stub.training.recipe import HeadRecipe
from server_stub.training.server_step import HeadState, Replay

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class HeadLearning:
    """A head's recipe in the form that a plan of rounds reads."""

    head: HeadRecipe
    d: int
    family: str = "base+head/1"
    steps: int = 1

    @property
    def rate(self) -> float:
        return self.head.rate

    def clip_milli(self, rounds: int) -> int:  # noqa: ARG002  (the norm is the recipe's)
        return max(1, round(1000 * self.head.clip))


@dataclass(frozen=True, eq=False)
class DeviceRows:
    """The rows of all devices, each distinct row once."""

    prepared: Prepared
    labels: Labels
    """0 for each row of benign-only devices."""
    devices: tuple[Indices, ...]
    """Places of each device's rows in `prepared`."""
    weights: tuple[Floats32, ...]
    """The weight of each of these rows in its device's update; they add up to one."""


def device_rows(
    prepared: Prepared, labels: Labels, dealt: Sequence[Indices], *, is_labelled: bool
) -> DeviceRows:
    """Keep what devices need of a prepared table. `dealt`: places in the table, by device."""
    kept, places = np.unique(np.concatenate(dealt), return_inverse=True)
    own = labels[kept] if is_labelled else np.zeros(len(kept), np.int64)
    ends = np.cumsum([len(rows) for rows in dealt])[:-1]
    devices = tuple(np.split(places.reshape(-1), ends))
    weights = tuple(
        linear.balanced(own[rows]) if is_labelled else linear.uniform(len(rows)) for rows in devices
    )
    return DeviceRows(prepared.take(kept), own, devices, weights)


class HeadFleet:
    """The devices of one run, and its server."""

    def __init__(
        self, rows: DeviceRows, public: Replay, recipe: HeadRecipe, flipped: NDArray[np.bool_]
    ) -> None:
        """`flipped`: devices that learn from flipped labels."""
        self.state: HeadState = server_step.start(np.zeros(rows.prepared.features.shape[1]))
        self._rows, self._public, self._head, self._flipped = rows, public, recipe, flipped
        self._at: Floats | None = None
        self._probability: Floats32 = np.zeros(0, np.float32)

    @property
    def recipe(self) -> Learning:
        return HeadLearning(self._head, len(self.state.trained))

    def update(self, weights: Floats, device: int) -> Floats:
        """Minus the mean gradient (d,) of a device's rows at these weights."""
        if self._at is not weights:
            logits = linear.logits(self._rows.prepared, weights)
            self._probability = linear.probability(logits).astype(np.float32)
            self._at = weights
        rows = self._rows.devices[device]
        targets = self._rows.labels[rows].astype(np.float32)
        if self._flipped[device]:
            targets = 1 - targets
        residual = self._rows.weights[device] * (targets - self._probability[rows])
        return (residual @ self._rows.prepared.features[rows]).astype(np.float64)

    def advance(self, weights: Floats, mean: Floats) -> Floats:
        """Make the server's step. `weights` are those that it returned last."""
        del weights  # the state has them
        self.state = server_step.server_step(self.state, mean, self._public, self._head)
        return self.state.trained


def control(public: Replay, recipe: HeadRecipe, d: int) -> HeadState:
    """The same rounds without devices: what the operator's rows alone are worth."""
    state = server_step.start(np.zeros(d))
    for _ in range(recipe.rounds):
        state = server_step.server_step(state, np.zeros(d), public, recipe)
    return state
