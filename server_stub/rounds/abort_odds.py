"""How often a group ends without a sum because devices drop out. Pure.

A group goes on with `codec.min_survivors` devices: the smallest sum and the threshold t =
⌊(n + c)/2⌋ + 1, whichever is more. c is the same for a small group as for the largest, so a small
group bears less drop-out: 32 devices with c = 12 need 23, and 100 with c = 20 need 61.
"""

from dataclasses import dataclass
from math import comb

from agent.protocol.codec import min_survivors
from agent.protocol.draw import group_count
from agent.protocol.messages import RoundConfig

DROP_PERCENT = (5, 10, 20, 30)
"""The shares of devices that a table of odds is made for."""


@dataclass(frozen=True)
class Odds:
    """One row of the table, for a number of devices that advertise."""

    devices: int
    groups: int
    size: int
    """Of the smallest group."""
    left_out: int
    needed: int
    """Devices that the group must keep."""
    aborts: tuple[float, ...]
    """The probability that it ends without a sum, for each of DROP_PERCENT."""


def abort_probability(size: int, needed: int, drop: float) -> float:
    """The probability that fewer than `needed` of `size` devices stay, each independently."""
    return sum(
        comb(size, stay) * (1 - drop) ** stay * drop ** (size - stay) for stay in range(needed)
    )


def odds(config: RoundConfig, devices: int) -> Odds:
    """The odds for this many devices."""
    groups = group_count(devices, config)
    if groups == 0:
        return Odds(devices, 0, 0, devices, 0, (1.0,) * len(DROP_PERCENT))
    size = min(config.g_max, devices // groups)
    needed = min_survivors(size, config)
    return Odds(
        devices,
        groups,
        size,
        max(0, devices - groups * config.g_max),
        needed,
        tuple(abort_probability(size, needed, percent / 100) for percent in DROP_PERCENT),
    )
