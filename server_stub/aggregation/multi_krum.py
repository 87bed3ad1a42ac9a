"""Multi-Krum: the mean of the groups that have the nearest neighbours (Blanchard et al. 2017)."""

import numpy as np

from server_stub.aggregation.gram import distances_sq, gram
from server_stub.aggregation.groups import (
    Combined,
    Facts,
    Floats,
    GroupMeans,
    bad_groups,
    weighted,
)

LEAST_GROUPS = 4
"""With fewer a group has no neighbours to compare."""


def multi_krum(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Leave out as many groups as may hold an attacker: those that are farthest from their
    neighbours. Each device in the others counts the same.
    """
    number = len(groups)
    out = min(bad_groups(groups, facts), (number - 3) // 2) if number >= LEAST_GROUPS else 0
    kept = np.ones(number, bool)
    if out > 0:
        distances = distances_sq(gram(groups.means))
        # Sorted, a group itself is first at distance 0.
        nearest = np.sort(distances, axis=1)[:, 1 : number - out - 1]
        kept[np.argsort(nearest.sum(axis=1), kind="stable")[number - out :]] = False
    reasons = ["" if is_kept else "FAR_FROM_OTHERS" for is_kept in kept]
    return weighted(groups, np.where(kept, groups.counts, 0).astype(np.float64), reasons)
