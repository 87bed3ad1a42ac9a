"""FLTrust: groups count by their cosine with the root update, all scaled to its length (Cao et al.
2021).

Noise makes a group's mean much longer than the root update, so the scaling shrinks what the devices
bring, by 20 to 60 times. `anchored_mean` does not scale.
"""

import numpy as np

from server_stub.aggregation.groups import Combined, Facts, Floats, GroupMeans, unit


def cosines(groups: GroupMeans, direction: Floats) -> tuple[Floats, Floats]:
    """Each group's component along a unit direction (groups,), and its length (groups,)."""
    along = (groups.means @ direction.astype(groups.means.dtype)).astype(np.float64)
    lengths = np.sqrt(np.einsum("gd,gd->g", groups.means, groups.means)).astype(np.float64)
    return along, np.maximum(lengths, 1e-300)


def fltrust(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Groups against the root update do not count. Raises PeerError NO_ROOT."""
    direction = unit(root)
    assert root is not None  # noqa: S101  (`unit` has refused it)
    along, lengths = cosines(groups, direction)
    trust = np.maximum(along / lengths, 0)
    total = float(trust.sum())
    shares = trust / total if total > 0 else trust
    scale = float(direction @ root) / lengths
    update = ((shares * scale).astype(groups.means.dtype) @ groups.means).astype(np.float64)
    return Combined(update, shares, tuple("" if one > 0 else "AGAINST_ROOT" for one in trust))
