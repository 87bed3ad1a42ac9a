"""What every rule of this package takes and returns.

A rule combines the mean updates of groups. Group by group it knows a mean, the number of devices in
it, and how much noise they were planned to add. In local mode a group is a single device.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import PeerError
from agent.privacy.codec import noise_sd
from agent.protocol.messages import RoundConfig

Floats = NDArray[np.float64]
Matrix = NDArray[np.floating[Any]]
ROUNDING_VARIANCE = 0.25
"""At most so much does rounding at random add to a coordinate of one update, in grid steps²."""


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """The opened groups of a round."""

    means: Matrix
    """The mean update of each group (groups, d), float32 or float64, finite."""
    counts: NDArray[np.int64]
    """Devices in each (groups,)."""
    noise_sd: Floats
    """Standard deviation of a coordinate of each mean by noise and rounding (groups,), in
    parameter units."""

    def __len__(self) -> int:
        return len(self.counts)

    def only(self, kept: NDArray[np.bool_]) -> "GroupMeans":
        """The groups that are marked in `kept` (groups,)."""
        return GroupMeans(self.means[kept], self.counts[kept], self.noise_sd[kept])


@dataclass(frozen=True)
class Facts:
    """What a rule knows of the round; all of it is public."""

    clip: float
    """C: the longest that an honest update is."""
    attacker_share: float = 0.01
    """The share of attacking devices that rules without a root update plan for."""


@dataclass(frozen=True, eq=False)
class Combined:
    """What a rule makes of a round."""

    update: Floats
    """The mean update (d,)."""
    weights: Floats
    """Of each group in the update (groups,); their sum is 1, or 0 where no group counts. Rules
    that go coordinate by coordinate give every group the same."""
    reasons: tuple[str, ...]
    """Why a group counts for less: AGAINST_ROOT, FAR_FROM_OTHERS, LONG or "" (groups)."""


Rule = Callable[[GroupMeans, Floats | None, Facts], Combined]
"""Takes the groups, the root update (d,) or None, and the facts. Raises PeerError NO_ROOT where it
needs a root update."""


def spread(config: RoundConfig, count: int) -> float:
    """The standard deviation of a coordinate of the mean of `count` honest updates around their
    true mean, in parameter units: the planned noise, and what rounding adds to it.
    """
    return noise_sd(config, count) * math.sqrt(1 + ROUNDING_VARIANCE / config.noise_var)


def weighted(groups: GroupMeans, weights: Floats, reasons: Sequence[str]) -> Combined:
    """The combination of the means with these weights (groups,), which need not add up to 1."""
    total = float(weights.sum())
    shares = weights / total if total > 0 else np.zeros(len(groups))
    update = (shares.astype(groups.means.dtype) @ groups.means).astype(np.float64)
    return Combined(update, shares, tuple(reasons))


def by_counts(groups: GroupMeans) -> Floats:
    """Weights that let every device count the same (groups,)."""
    weights: Floats = groups.counts / groups.counts.sum()
    return weights


def bad_groups(groups: GroupMeans, facts: Facts) -> int:
    """How many groups hold an attacker, where the planned share of the devices attacks, rounded
    up.
    """
    share = 1 - math.pow(1 - facts.attacker_share, float(np.mean(groups.counts)))
    return math.ceil(len(groups) * share)


def unit(root: Floats | None) -> Floats:
    """The direction of the root update (d,). Raises PeerError NO_ROOT."""
    length = 0.0 if root is None else float(np.sqrt(np.einsum("i,i->", root, root)))
    if root is None or not length > 0:
        raise PeerError(
            "NO_ROOT",
            "This rule needs an update from the operator's own rows, and there is none.",
            "Add labelled rows with `aegis-server rows add`.",
        )
    return root / length
