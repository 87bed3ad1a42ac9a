"""Centred clipping: groups pull a centre, and none pulls harder than the usual distance
(Karimireddy, He, Jaggi 2021).
"""

import numpy as np

from server_stub.aggregation.gram import distances_from, gram
from server_stub.aggregation.groups import (
    Combined,
    Facts,
    Floats,
    GroupMeans,
    by_counts,
)

STEPS = 10


def centred_clipping(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Start at no step at all. The radius is the median distance from the centre, since noise
    makes all distances about the same.
    """
    products, counts = gram(groups.means), by_counts(groups)
    weights, factors = np.zeros(len(groups)), np.ones(len(groups))
    for _ in range(STEPS):
        distances = distances_from(products, weights)
        radius = float(np.median(distances))
        factors = np.minimum(1, radius / np.maximum(distances, 1e-300))
        pull = counts * factors
        # centre + Σ pullᵢ·(meanᵢ - centre), where the centre is a combination of the means.
        weights = weights * (1 - pull.sum()) + pull
    # The weights need not add up to 1: a part of the centre may still be the start.
    update = (weights.astype(groups.means.dtype) @ groups.means).astype(np.float64)
    total = float(weights.sum())
    shares = weights / total if total > 0 else weights
    return Combined(update, shares, tuple("" if one == 1 else "LONG" for one in factors))
