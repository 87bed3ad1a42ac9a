"""Judges the opened sums of a round, or the updates of a local one, and combines those that pass.

Pure: the driver brings what was opened and stores what comes out. The same sums and the same
operator rows give the same update, so a driver that starts again comes to the same model.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import PeerError
from agent.privacy.codec import Words, decode_sum, read_update
from agent.protocol.envelope import decode
from agent.protocol.messages import RoundConfig
from server_stub.aggregation.groups import Facts, Floats, GroupMeans, spread, unit
from server_stub.aggregation.rules import RULES
from server_stub.validation import gate
from server_stub.validation.situation import Defence, Situation, defence

OUT_OF_RANGE = "SUM_OUT_OF_RANGE"


@dataclass(frozen=True, eq=False)
class Opened:
    """What a round brought: a group's sum each, or in local mode an update each."""

    groups: GroupMeans
    """Those that decode."""
    places: tuple[int, ...]
    """Where each of them stands among all that were given."""
    unreadable: tuple[int, ...]
    """The places of the others."""
    units: tuple[NDArray[np.int64], ...] = ()
    """In local mode the updates in grid steps: their sum is exact in any order."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What became of a round's sums."""

    update: Floats | None
    """The combined mean update (width,); None where nothing passed."""
    devices: int
    """In the sums that passed the gate."""
    defence: Defence
    results: dict[int, gate.GateResult] = field(default_factory=dict)
    """What the gate found, by place."""
    weights: dict[int, float] = field(default_factory=dict)
    """By place, of those that passed."""
    reasons: dict[int, str] = field(default_factory=dict)
    """Why a sum does not count or counts less, by place."""

    def to_json(self) -> dict[str, Any]:
        """What the round's record says about its defence."""
        return {
            **self.defence.to_json(),
            "judged": len(self.results),
            "refused": dict(
                Counter(
                    reason for place, reason in self.reasons.items() if place not in self.weights
                )
            ),
            "false_refusals_expected": round(gate.false_refusals(list(self.results.values())), 3),
        }

    def group_json(self, place: int) -> dict[str, Any]:
        """What the round's record says about one group."""
        result = self.results.get(place)
        return {
            "gate": None if result is None else result.to_json(),
            "weight": round(self.weights.get(place, 0.0), 6),
            "refusal": self.reasons.get(place, ""),
        }


def opened_sums(sums: Sequence[tuple[Words, int]], config: RoundConfig) -> Opened:
    """Decode the sums of groups: words modulo 2^bits, and the devices in them.

    Raises PeerError SUM_OUT_OF_RANGE when none decodes.
    """
    means, counts, places, unreadable = [], [], [], []
    for place, (words, count) in enumerate(sums):
        try:
            means.append(decode_sum(words, config, count))
        except PeerError:
            # A sum does not show whose update it was, so the whole group is left out.
            unreadable.append(place)
            continue
        counts.append(count)
        places.append(place)
    return _opened(means, counts, places, unreadable, config)


def opened_updates(bodies: Iterable[bytes], config: RoundConfig) -> Opened:
    """Decode local updates one by one. Raises PeerError SUM_OUT_OF_RANGE when none decodes."""
    means, units, places, unreadable = [], [], [], []
    for place, body in enumerate(bodies):
        try:
            update = read_update(decode(body).payload, config)
            means.append(decode_sum(update, config, 1))
        except PeerError:
            unreadable.append(place)
            continue
        units.append(update)
        places.append(place)
    opened = _opened(means, [1] * len(means), places, unreadable, config)
    return Opened(opened.groups, opened.places, opened.unreadable, tuple(units))


def judge(opened: Opened, config: RoundConfig, root: Floats | None, situation: Situation) -> Judged:
    """Let what was opened pass the gate, and combine what passes by the rule that fits.

    `root`: the operator's update (width,), where there is one.
    """
    chosen = defence(situation)
    groups, places = opened.groups, opened.places
    direction = _direction(root) if chosen.uses_root else None
    if chosen.uses_root and direction is None:
        # The operator's rows have nothing to teach this model; the gate still sees energies.
        chosen = defence(Situation(0, situation.groups))
    results = gate.judge(groups, direction, gate.bounds_of(config))
    passed = np.array([not one.reason for one in results])
    reasons = dict.fromkeys(opened.unreadable, OUT_OF_RANGE)
    reasons |= {place: one.reason for place, one in zip(places, results, strict=True) if one.reason}
    by_place = dict(zip(places, results, strict=True))
    if not passed.any():
        return Judged(None, 0, chosen, by_place, {}, reasons)
    kept = groups.only(passed)
    combined = RULES[chosen.rule](kept, root if direction is not None else None, facts_of(config))
    kept_places = [place for place, ok in zip(places, passed, strict=True) if ok]
    reasons |= {
        place: reason for place, reason in zip(kept_places, combined.reasons, strict=True) if reason
    }
    update = combined.update
    if chosen.rule == "mean" and opened.units:
        units = [one for one, ok in zip(opened.units, passed, strict=True) if ok]
        total: NDArray[np.int64] = np.sum(units, axis=0, dtype=np.int64)
        update = decode_sum(total, config, len(units))
    weights = dict(zip(kept_places, combined.weights.tolist(), strict=True))
    return Judged(update, int(kept.counts.sum()), chosen, by_place, weights, reasons)


def facts_of(config: RoundConfig) -> Facts:
    """What rules know of a round."""
    return Facts(float(config.clip))


def _opened(
    means: list[Floats],
    counts: list[int],
    places: list[int],
    unreadable: list[int],
    config: RoundConfig,
) -> Opened:
    if not means:
        raise PeerError(OUT_OF_RANGE, "No group's sum can be used.", "Nothing was changed.")
    groups = GroupMeans(
        np.array(means),
        np.array(counts, np.int64),
        np.array([spread(config, count) for count in counts]),
    )
    return Opened(groups, tuple(places), tuple(unreadable))


def _direction(root: Floats | None) -> Floats | None:
    try:
        return unit(root)
    except PeerError:
        return None
