"""The geometric median of the groups, which RFA uses (Pillutla, Kakade, Harchaoui 2022)."""

import numpy as np

from server_stub.aggregation.gram import distances_from, gram
from server_stub.aggregation.groups import (
    Combined,
    Facts,
    Floats,
    GroupMeans,
    by_counts,
    weighted,
)

STEPS = 100
CLOSE = 1e-7
"""Weights that move by less than this have arrived."""
SMOOTHING = 1e-6
"""Least distance of a group from the median, in parts of their mean distance."""


def geometric_median(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """The point with the least sum of distances from the groups, each counted by its devices.

    Weiszfeld's steps, on weights alone.
    """
    products, counts = gram(groups.means), by_counts(groups)
    weights = counts
    for _ in range(STEPS):
        distances = distances_from(products, weights)
        least = SMOOTHING * float(distances.mean())
        if not least > 0:  # all groups are the same
            break
        moved = counts / np.maximum(distances, least)
        moved /= moved.sum()
        has_arrived = float(np.abs(moved - weights).max()) < CLOSE
        weights = moved
        if has_arrived:
            break
    return weighted(groups, weights, ("",) * len(groups))
