"""When devices meet: who said that it has a finished update, when that is enough for a join window,
and when each is to ask again. Sans-IO.

1. A device that trained the present model says `ready` with every poll; it counts until twice its
   next poll is over.
2. With `ready_target` of them a window is announced: it opens `lead_s` later, so that everybody who
   is ready hears of it, for `join_s`.
3. The round is planned for those who are ready: the group size, and the smallest sum, which sets
   the noise of each device.
4. The window closes early when everybody who is ready has advertised, or when it is full.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

from server_stub.rounds.lifecycle import RoundPlan

PATIENCE = 2
GRACE_S = 30
SURVIVAL_PERCENT = 60
"""The smallest sum, as a share of the group: what the threshold asks for at γ = 0.2 anyway."""


class ReadyPool:
    """The devices that are ready."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def say(self, device_id: str, now: int, next_poll_s: int) -> None:
        self._until[device_id] = now + PATIENCE * next_poll_s + GRACE_S

    def expect(self, devices: Iterable[str], until: int) -> None:
        """They were ready before a restart, and are waited for."""
        self._until.update(dict.fromkeys(devices, until))

    def forget(self, device_id: str) -> None:
        self._until.pop(device_id, None)

    def clear(self) -> None:
        """Another model was published: nobody is ready for it."""
        self._until.clear()

    def present(self, now: int) -> frozenset[str]:
        """Who is ready now."""
        self._until = {device_id: until for device_id, until in self._until.items() if until >= now}
        return frozenset(self._until)


@dataclass(frozen=True)
class GroupPlan:
    """How those who come are to be grouped."""

    g_max: int
    min_sum: int
    capacity: int
    """Devices that fit into the window."""


def enough(ready: int, plan: RoundPlan) -> bool:
    """Whether a window is to be announced."""
    return ready >= max(plan.ready_target or plan.min_group, plan.min_group)


def grouping(expected: int, plan: RoundPlan) -> GroupPlan:
    """Group sizes for `expected` devices.

    One group takes a quarter more than expected. Several are drawn by hash, so their sizes vary
    binomially: the most is planned three standard deviations above the mean, and the smallest sum
    for a group two below it.
    """
    if expected <= plan.g_max:
        g_max = min(plan.g_max, max(plan.min_group, expected + expected // 4))
        return GroupPlan(g_max, _smallest(expected, g_max, plan), g_max)
    count = -(-expected // plan.g_max)
    while (g_max := _most(expected, count)) > plan.g_max and expected // (
        count + 1
    ) >= plan.min_group:
        count += 1
    g_max = min(g_max, plan.g_max)
    typical = expected // count
    return GroupPlan(
        g_max,
        _smallest(max(plan.min_group, typical - 2 * _deviation(typical, count)), g_max, plan),
        expected,
    )


def _deviation(typical: int, count: int) -> int:
    """Standard deviation of the sizes of `count` groups, rounded up."""
    return isqrt(typical * (count - 1) // count) + 1


def _most(expected: int, count: int) -> int:
    typical = -(-expected // count)
    return typical + 3 * _deviation(typical, count)


def _smallest(size: int, g_max: int, plan: RoundPlan) -> int:
    """m: never below the plan's, and above the devices that may collude."""
    least = max(plan.min_sum, plan.gamma_milli * g_max // 1000 + 1)
    return min(g_max, max(least, size * SURVIVAL_PERCENT // 100))


def poll_s(
    plan: RoundPlan, usual_s: int, *, is_ready: bool, opens: int, now: int, draw: float
) -> int:
    """When a device is to ask again, in seconds. `opens`: of the announced window, 0 for none.
    `draw` is uniform in [0, 1).

    Who is ready asks often enough to hear of a window before it opens.
    """
    if is_ready and opens:
        return max(1, opens - now)
    longest = min(usual_s, max(1, plan.lead_s // 2)) if is_ready else usual_s
    return max(1, round(longest * (0.75 + draw / 4)))
