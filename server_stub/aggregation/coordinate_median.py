"""The median of the groups in each coordinate (Yin et al. 2018)."""

import numpy as np

from server_stub.aggregation.columns import sorted_columns
from server_stub.aggregation.groups import Combined, Facts, Floats, GroupMeans, by_counts


def coordinate_median(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Each coordinate's middle value, or the mean of the middle two."""
    low, high = (len(groups) - 1) // 2, len(groups) // 2
    update = np.empty(groups.means.shape[1])
    for where, values in sorted_columns(groups.means):
        np.add(values[:, low], values[:, high], out=update[where])
    update /= 2
    return Combined(update, by_counts(groups), ("",) * len(groups))
