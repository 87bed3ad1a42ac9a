"""Lengths and distances of groups from one pass over their means: the matrix of scalar products.

Rules that only add means up, each with a weight, never need the means themselves until the end:
with G = M·Mᵀ, the combination Σ wᵢ·mᵢ has the squared length wᵀGw and the squared distance
Gᵢᵢ - 2(Gw)ᵢ + wᵀGw from mᵢ.
"""

import numpy as np

from server_stub.aggregation.groups import Floats, Matrix

COLUMNS = 1 << 14
"""Coordinates in a block: so many of a hundred groups fit the processor's cache."""


def gram(means: Matrix) -> Floats:
    """The scalar products of all pairs of rows (groups, groups)."""
    total = np.zeros((len(means), len(means)))
    for start in range(0, means.shape[1], COLUMNS):
        block = means[:, start : start + COLUMNS]
        total += block @ block.T
    return total


def distances_sq(products: Floats) -> Floats:
    """The squared distances of all pairs (groups, groups) from their scalar products."""
    lengths = np.diag(products)
    squared: Floats = np.maximum(lengths[:, None] + lengths[None, :] - 2 * products, 0)
    return squared


def distances_from(products: Floats, weights: Floats) -> Floats:
    """The distance of each group (groups,) from Σ weightsᵢ·meanᵢ."""
    along = products @ weights
    squared = np.diag(products) - 2 * along + float(weights @ along)
    distances: Floats = np.sqrt(np.maximum(squared, 0))
    return distances
