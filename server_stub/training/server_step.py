"""The server's part of training a head: one round's step, and the average that files are scored
with. Pure.

In a round the devices' mean update says where their own files lie on the wrong side. With benign
files alone it would pull every verdict towards "benign". So the server takes it together with the
gradient of its public rows, of both sorts, in a few sub-steps:

    head += rate · (λ · mean update - balanced gradient of the public rows - ridge · head)

The heads of the last half of the rounds are averaged: that halves the noise that a single round's
head carries.
"""

from dataclasses import dataclass

import numpy as np

from agent.detector.families import linear
from agent.detector.families.family import Floats, Floats32, Labels, Prepared
from server_stub.training.recipe import HeadRecipe


@dataclass(frozen=True, eq=False)
class Replay:
    """The operator's public rows, ready for a head."""

    prepared: Prepared
    """Offsets are α times out-of-fold logits: a base knows the rows that it was trained on too
    well for them to teach the head anything."""
    labels: Labels
    weights: Floats32
    """Both classes weigh the same; they add up to one."""


@dataclass(frozen=True, eq=False)
class HeadState:
    """Where a task's training stands."""

    rounds_done: int
    trained: Floats
    """(d,): the head that the next round starts from."""
    scored: Floats
    """(d,): the average of the heads of the last half, until then the latest one."""
    averaged: int
    """Heads in the average."""


def replay(prepared: Prepared, labels: Labels) -> Replay:
    """Weigh public rows so that both classes count the same."""
    return Replay(prepared, labels, linear.balanced(labels))


def start(head: Floats) -> HeadState:
    """Return the state before the first round."""
    return HeadState(0, head, head, 0)


def server_step(
    state: HeadState, mean_update: Floats, public: Replay, recipe: HeadRecipe
) -> HeadState:
    """Return the state after one round.

    `mean_update` (d,): the mean of the devices' clipped updates, as decoded. All zeros: a round
    without devices, the control.
    """
    rate = recipe.rate * recipe.decay**state.rounds_done / recipe.sub_steps
    head = state.trained
    for _ in range(recipe.sub_steps):
        head = head + rate * (
            recipe.fleet_weight * mean_update + public_step(public, head) - recipe.ridge * head
        )
    done = state.rounds_done + 1
    if done <= recipe.rounds // 2:
        return HeadState(done, head, head, 0)
    count = state.averaged + 1
    average = (state.scored * state.averaged + head) / count
    return HeadState(done, head, average, count)


def public_step(public: Replay, head: Floats) -> Floats:
    """Return minus the balanced gradient (d,) of the public rows."""
    targets = public.labels.astype(np.float32)
    return linear.mean_step(public.prepared, head, targets, public.weights)
