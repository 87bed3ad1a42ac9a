"""The root update, made from the operator's labelled rows by the steps that devices take, and the
operator's rows on which the canary judges.

The two never share a row: a model that was steered by the root rows must prove itself on others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.detector.families import linear
from agent.detector.families.family import Floats, Labels, Prepared
from agent.privacy.weights import outgoing
from agent.protocol.messages import Task, TrainingRows
from server_stub.validation.canary import CanaryRows


@dataclass(frozen=True, eq=False)
class Reference:
    """The operator's rows, ready for any head of the task."""

    root: Prepared
    root_labels: Labels
    canary: Prepared
    canary_labels: Labels
    fpr: float | None = None
    """The false-positive rate at which the canary compares models; None: each at its own
    threshold."""

    @property
    def size(self) -> int:
        """Rows in both parts."""
        return len(self.root) + len(self.canary)

    @property
    def has_both_classes(self) -> bool:
        """Whether each part has benign and malicious rows."""
        return all(len(np.unique(part)) == 2 for part in (self.root_labels, self.canary_labels))


def is_canary(groups: NDArray[np.int64], seed: int = 0) -> NDArray[np.bool_]:
    """Which rows (n,) are the canary's: half of the groups. Copies of a row share a group."""
    names, number = np.unique(groups, return_inverse=True)
    draw = np.random.default_rng(seed).permutation(len(names))
    marked: NDArray[np.bool_] = (draw % 2 == 0)[number.reshape(-1)]
    return marked


def parted(prepared: Prepared, labels: Labels, canary: NDArray[np.bool_]) -> Reference:
    """Part prepared rows by `canary` (n,)."""
    inside, outside = np.flatnonzero(canary), np.flatnonzero(~canary)
    return Reference(prepared.take(outside), labels[outside], prepared.take(inside), labels[inside])


def root_update(known: Reference, head: Floats, task: Task) -> Floats:
    """What the operator would send if it were a device (task.width,): clipped, with full weight.

    A device passes over its rows one by one, here all of them count in one step. The two differ in
    the second order of the step, and only the direction is used.
    """
    rows, labels = known.root, known.root_labels
    if task.base_sha256:
        # One gradient (agent.detector.families.linear), as the task's devices send it.
        if task.rows is TrainingRows.BENIGN:
            update = linear.benign_update(rows.take(np.flatnonzero(labels == 0)), head)
        else:
            update = linear.labelled_update(rows, labels, head)
    else:
        moved, rate = head, task.train_rate_milli / 1000
        for _ in range(task.train_steps):
            moved = moved + rate * linear.labelled_update(rows, labels, moved)
        update = moved - head
    sent = outgoing(update, max(task.weight_cap, 1), task)
    if task.weight_cap:
        # The weight points the same way for everybody and says nothing about the update.
        sent[-1] = 0.0
    return sent


def canary_rows(known: Reference, head: Floats, threshold: float) -> CanaryRows:
    """What a head says about the canary's rows. `threshold`: the model's own, as probability."""
    probabilities = linear.probability(linear.logits(known.canary, head))
    return CanaryRows(known.canary_labels, probabilities, threshold)
