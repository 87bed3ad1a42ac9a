"""Norm clipping: no group's mean is longer than twice the usual length (Sun et al. 2019)."""

import numpy as np

from server_stub.aggregation.groups import (
    Combined,
    Facts,
    Floats,
    GroupMeans,
    by_counts,
)

USUAL_LENGTHS = 2.0
"""A clip at C itself would let a bad group weigh as much as a good one."""


def norm_clipping(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Scale longer means down to USUAL_LENGTHS times the median length."""
    lengths = np.sqrt(np.einsum("gd,gd->g", groups.means, groups.means)).astype(np.float64)
    longest = USUAL_LENGTHS * float(np.median(lengths))
    factors = np.minimum(1, longest / np.maximum(lengths, 1e-300))
    counts = by_counts(groups)
    pull = counts * factors
    update = (pull.astype(groups.means.dtype) @ groups.means).astype(np.float64)
    total = float(pull.sum())
    shares = pull / total if total > 0 else pull
    return Combined(update, shares, tuple("" if one == 1 else "LONG" for one in factors))
