"""Refuses groups whose mean no honest devices can have made, before a rule combines the others.

A sum that decodes is not thereby honest: the range check of the codec catches overflow only, and in
one round one device of 40 moved a model by 33 clipping norms through it.

1. *Energy.* Noise of standard deviation σ in every coordinate and a mean update of length C at most
   give |mean|²/σ² a noncentral χ² distribution with λ = (C/σ)² at most. A group above its quantile
   at TAIL is refused.
2. *Projection.* Along a direction that is known before the round (the root update's), the mean of
   honest updates lies in [-ROOM·C, C] and noise has the standard deviation σ. A group outside the
   window by more than QUANTILE·σ is refused. Devices whose rows differ much from the operator's may
   point slightly away from the root update, which ROOM allows for.

Both bound how often an honest group is refused, whatever its devices have learned. Neither sees
what a malicious device adds within the noise of its group.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agent.privacy.zcdp import sent_words
from agent.protocol.messages import RoundConfig
from server_stub.aggregation.groups import Floats, GroupMeans
from server_stub.validation.chi_square import upper_quantile

TAIL = 1e-3
"""The probability at which each side of each test refuses an honest group, at most."""
QUANTILE = 3.0902
"""Of the normal distribution, at TAIL."""
ROOM = 0.25
"""How far honest means may point away from the root update, in clipping norms."""


@dataclass(frozen=True)
class Bounds:
    """What the tests know of the round."""

    clip: float
    freedom: int
    """Degrees of freedom of the noise: the coordinates of the update, or those that were sent."""
    stretch: float = 1.0
    """How much longer than its update a mean may be: where only k of n coordinates are sent, each
    stands for n/k."""


@dataclass(frozen=True)
class GateResult:
    """What the gate found in one group. Lengths are in units of σ, energies in σ²."""

    energy: float
    energy_limit: float
    freedom: int
    """Degrees of freedom of the energy."""
    projection: float | None
    """Along the root update; None without one."""
    projection_low: float | None
    projection_high: float | None
    reason: str
    """ENERGY, PROJECTION, or "" for a group that passes."""

    def to_json(self) -> dict[str, Any]:
        """For the record of the round, rounded."""
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def bounds_of(config: RoundConfig) -> Bounds:
    """The bounds of a round."""
    sent = sent_words(config)
    return Bounds(float(config.clip), min(config.d, sent), config.d_padded / sent)


def judge(groups: GroupMeans, direction: Floats | None, bounds: Bounds) -> tuple[GateResult, ...]:
    """Test every group. `direction`: a unit vector (d,), known before the round's noise."""
    energies = np.einsum("gd,gd->g", groups.means, groups.means)
    along = None if direction is None else groups.means @ direction
    return tuple(
        _result(
            float(energies[number]),
            None if along is None else float(along[number]),
            float(groups.noise_sd[number]),
            bounds,
        )
        for number in range(len(groups))
    )


def false_refusals(results: Sequence[GateResult]) -> float:
    """How many honest groups the gate refuses in such a round, at most, on average."""
    return sum(TAIL * (1 if one.projection is None else 3) for one in results)


def _result(square: float, along: float | None, sd: float, bounds: Bounds) -> GateResult:
    # Where few coordinates are sent the noise sits in them alone, each with more of it.
    unit_sq = sd * sd * bounds.stretch
    reach = bounds.clip * bounds.stretch / math.sqrt(unit_sq)
    energy = square / unit_sq
    limit = upper_quantile(TAIL, bounds.freedom, reach * reach)
    low = high = projection = None
    reason = "ENERGY" if energy > limit else ""
    if along is not None:
        projection = along / sd
        most = bounds.clip * bounds.stretch / sd
        low, high = -ROOM * most - QUANTILE, most + QUANTILE
        if not reason and not low <= projection <= high:
            reason = "PROJECTION"
    return GateResult(energy, limit, bounds.freedom, projection, low, high, reason)
