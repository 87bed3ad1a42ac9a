"""Draws the groups of a round from the devices that advertised. Pure and deterministic.

The draw itself is agent.protocol.draw, which every device computes as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.protocol import codec
from agent.protocol.draw import Draw
from agent.protocol.messages import RoundConfig
from agent.protocol.witness import Witnessed


@dataclass(frozen=True)
class DrawnGroups:
    """The rosters of a round's groups, and the devices in none of them."""

    rosters: tuple[codec.Roster, ...]
    left_out: tuple[str, ...]


def leaves_of(advertised: Mapping[str, codec.Advertisement]) -> tuple[bytes, ...]:
    """The list of leaves, from the advertisements by device id."""
    return tuple(sorted(one.leaf for one in advertised.values()))


def draw_groups(
    config: RoundConfig, advertised: Mapping[str, codec.Advertisement], witnessed: Witnessed
) -> DrawnGroups:
    """Draw groups from the advertisements, given by device id."""
    by_leaf = {one.leaf: one for one in advertised.values()}
    draw = Draw(tuple(sorted(by_leaf)), witnessed.seed)
    rosters = []
    for number, leaves in enumerate(draw.groups(config)):
        members = sorted((by_leaf[leaf] for leaf in leaves), key=lambda one: one.device_id)
        rosters.append(codec.Roster(number, draw.leaves, witnessed, tuple(members)))
    grouped = {member.device_id for roster in rosters for member in roster.members}
    return DrawnGroups(tuple(rosters), tuple(sorted(advertised.keys() - grouped)))
