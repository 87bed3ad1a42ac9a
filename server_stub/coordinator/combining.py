"""Judges the opened sums of a round, or the updates of a local one, and combines those that pass.

Pure: the driver brings what was opened and stores what comes out. The same sums and the same
operator rows give the same update, so a driver that starts again comes to the same model.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
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
MOST_VALUES = 1 << 23
"""Coordinates of local updates in memory at a time: 300 MB with everything that is made of them."""


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


def judge_updates(
    bodies: Iterable[bytes],
    count: int,
    config: RoundConfig,
    root: Floats | None,
    situation: Situation,
    most_values: int = MOST_VALUES,
) -> Judged:
    """Judge and combine local updates; `situation.groups` is counted here.

    More than fit into memory (`most_values`) are combined in pieces of the same size, each like a
    round of its own, and every device that passed counts the same. `count`: how many updates there
    are. Raises PeerError SUM_OUT_OF_RANGE when none decodes.
    """
    pieces = max(1, -(-count * config.d_padded // most_values))
    size = max(1, -(-count // pieces))
    found: list[Judged] = []
    remaining, error = iter(bodies), None
    while piece := list(islice(remaining, size)):
        try:
            opened = opened_updates(piece, config)
        except PeerError as unusable:
            error = unusable
            reasons = dict.fromkeys(range(len(piece)), OUT_OF_RANGE)
            found.append(Judged(None, 0, defence(situation), reasons=reasons))
            continue
        facts = replace(situation, groups=len(opened.groups))
        found.append(judge(opened, config, root, facts))
    if not any(one.results for one in found):
        raise error or _nothing()
    return found[0] if len(found) == 1 else _together(found, size)


def _together(found: Sequence[Judged], size: int) -> Judged:
    """One result for pieces of `size` updates each; the last may be smaller."""
    devices = sum(one.devices for one in found)
    update: Floats | None = None
    results: dict[int, gate.GateResult] = {}
    weights: dict[int, float] = {}
    reasons: dict[int, str] = {}
    for first, one in zip(range(0, size * len(found), size), found, strict=True):
        share = one.devices / max(1, devices)
        if one.update is not None:
            update = one.update * share if update is None else update + one.update * share
        results |= {first + place: result for place, result in one.results.items()}
        weights |= {first + place: weight * share for place, weight in one.weights.items()}
        reasons |= {first + place: reason for place, reason in one.reasons.items()}
    judged = next(one for one in found if one.results)
    return Judged(update, devices, judged.defence, results, weights, reasons)


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
        raise _nothing()
    groups = GroupMeans(
        np.array(means),
        np.array(counts, np.int64),
        np.array([spread(config, count) for count in counts]),
    )
    return Opened(groups, tuple(places), tuple(unreadable))


def _nothing() -> PeerError:
    return PeerError(OUT_OF_RANGE, "No group's sum can be used.", "Nothing was changed.")


def _direction(root: Floats | None) -> Floats | None:
    try:
        return unit(root)
    except PeerError:
        return None
