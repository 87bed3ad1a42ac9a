"""The recipes of model family `base+head/1`: how a base is trained and how a head is, as values.

A recipe fits a size of fleet. More devices average more noise away, so a larger fleet affords a
longer way: more rounds, a larger clipping norm.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class BaseRecipe:
    """How the operator trains the base."""

    trees: int
    tree_rate: float
    leaves: int
    l2: float
    has_network: bool
    laplacian: int
    """Random features of the transformed header."""
    gaussian: int
    """Random features of the network's hidden layer; 0 without a network."""


@dataclass(frozen=True)
class HeadRecipe:
    """How server and devices train the head. All but `sub_steps` and `ridge` are in the task."""

    alpha: float
    """Weight of f₀ in the logit."""
    rounds: int
    clip: float
    """L2 clipping norm of a device's mean gradient."""
    fleet_weight: float
    """λ: how much the devices' mean counts beside the gradient of the public rows."""
    rate: float
    """Server rate of the first round."""
    decay: float
    """Each round's rate is this share of the one before."""
    sub_steps: int = 3
    """Steps that the server makes in a round with the same mean and fresh public gradients."""
    ridge: float = 0.001
    """Pull of the head towards zero."""


@dataclass(frozen=True)
class Recipe:
    base: BaseRecipe
    head: HeadRecipe


LARGE_FLEET = Recipe(
    BaseRecipe(200, 0.06, 31, 1.0, has_network=True, laplacian=511, gaussian=512),
    HeadRecipe(alpha=0.5, rounds=20, clip=0.06, fleet_weight=1.0, rate=30.0, decay=0.95),
)
"""For about 1,000 devices and more."""
SMALL_FLEET = Recipe(
    BaseRecipe(100, 0.1, 15, 1.0, has_network=False, laplacian=1023, gaussian=0),
    HeadRecipe(alpha=0.6, rounds=10, clip=0.02, fleet_weight=4.0, rate=60.0, decay=0.95),
)
"""For about 100 devices."""
TINY_FLEET = replace(SMALL_FLEET, head=replace(SMALL_FLEET.head, fleet_weight=2.0))
"""For about 20 devices: their noise is large, so their mean counts less."""
SMALL_FROM = 50
LARGE_FROM = 400
"""Devices from which on the recipe for larger fleets is the better one."""


def recipe_for(devices: int) -> Recipe:
    """Return the recipe for a fleet of that size."""
    if devices < SMALL_FROM:
        return TINY_FLEET
    return LARGE_FLEET if devices >= LARGE_FROM else SMALL_FLEET
