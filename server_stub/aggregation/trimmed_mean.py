"""The mean of the groups in each coordinate, without its lowest and highest values (Yin et al.
2018).
"""

import numpy as np

from server_stub.aggregation.columns import sorted_columns
from server_stub.aggregation.groups import (
    Combined,
    Facts,
    Floats,
    GroupMeans,
    bad_groups,
    by_counts,
)


def trimmed_mean(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Leave out as many values at each end as groups may hold an attacker."""
    cut = min(bad_groups(groups, facts), (len(groups) - 1) // 2)
    update = np.empty(groups.means.shape[1])
    for where, values in sorted_columns(groups.means):
        np.mean(values[:, cut : len(groups) - cut], axis=1, out=update[where])
    return Combined(update, by_counts(groups), ("",) * len(groups))
