"""Anchored mean: groups count by their cosine with the root update, at their own lengths, and what
they say along the root update is averaged over all of them.

1. The weight of a group is its cosine with the root update; a group against it has none.
2. Across the root update the result is the weighted mean of the groups. They are not scaled to the
   root's length (as `fltrust` does it), because noise decides a group's length.
3. Along the root update it is the plain mean of the groups' components, within [0, C]. The weights
   prefer groups that noise happened to push along it, and so would the weighted mean.
4. Where every group is against the root update there is no step.

An attack along or against the root update shows in a group's component and ends at the gate
(`server_stub.validation.gate`). One across it does not: nothing here tells it from what the devices
know and the operator does not.
"""

import numpy as np

from server_stub.aggregation.fltrust import cosines
from server_stub.aggregation.groups import Combined, Facts, Floats, GroupMeans, unit


def anchored_mean(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:
    """Combine the groups that passed the gate. Raises PeerError NO_ROOT."""
    direction = unit(root)
    along, lengths = cosines(groups, direction)
    trust = np.maximum(along / lengths, 0) * groups.counts
    reasons = tuple("" if one > 0 else "AGAINST_ROOT" for one in trust)
    total = float(trust.sum())
    if not total > 0:
        return Combined(np.zeros(groups.means.shape[1]), np.zeros(len(groups)), reasons)
    shares = trust / total
    update = (shares.astype(groups.means.dtype) @ groups.means).astype(np.float64)
    plain = float(np.average(along, weights=groups.counts))
    direction *= min(max(plain, 0.0), facts.clip) - float(shares @ along)
    update += direction
    return Combined(update, shares, reasons)
