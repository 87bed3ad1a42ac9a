"""Draws the groups of a round from the devices that advertised. Pure and deterministic.

1. The beacon is the Merkle root over the devices' ids and nonces, in the order of the ids: every
   device contributes to it.
2. Beacon and device id decide the group of a device, so every device can check its place.
3. There are as few groups as `g_max` allows. A group below `min_group` does not run; its devices
   are left out of the round.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.protocol import codec, merkle
from agent.protocol.messages import RoundConfig


@dataclass(frozen=True)
class Draw:
    """The rosters of a round's groups, and the devices in none of them."""

    rosters: tuple[codec.Roster, ...]
    left_out: tuple[str, ...]


def draw_groups(config: RoundConfig, advertised: Mapping[str, codec.Advertisement]) -> Draw:
    """Draw groups from the advertisements, given by device id."""
    # Sorted: the order in which advertisements arrived must not matter.
    ids = sorted(advertised)
    if len(ids) < config.min_group:
        return Draw((), tuple(ids))
    leaves = [merkle.leaf(device_id, advertised[device_id].nonce) for device_id in ids]
    beacon, proofs = merkle.root(leaves), merkle.proofs(leaves)
    # Group sizes vary with the hashes, so the smallest count that could fit may not.
    count = -(-len(ids) // config.g_max)
    while max(map(len, groups := _assign(ids, beacon, count))) > config.g_max:
        count += 1
    rosters, left_out = [], []
    for number, places in enumerate(groups):
        if len(places) < config.min_group:
            left_out += [ids[place] for place in places]
            continue
        # With a single group there is nothing to prove: every device that advertised is in it.
        members = tuple(
            codec.Member(advertised[ids[place]], place, () if count == 1 else tuple(proofs[place]))
            for place in places
        )
        rosters.append(codec.Roster(number, count, len(ids), beacon, members))
    return Draw(tuple(rosters), tuple(left_out))


def _assign(ids: list[str], beacon: bytes, count: int) -> list[list[int]]:
    """The devices' places in `ids`, by group."""
    groups: list[list[int]] = [[] for _ in range(count)]
    for place, device_id in enumerate(ids):
        groups[merkle.group_of(beacon, device_id, count)].append(place)
    return groups
