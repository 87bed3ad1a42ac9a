"""Decides when a join window is announced, for how many devices, and when each device polls again.
Sans-IO.

1. A device that has trained the current model says `ready` with every poll. It counts as ready for
   twice the time to its next poll.
2. Once `ready_target` devices are ready, a window is announced. It opens `lead_s` later, so that
   every ready device hears of it, and stays open for `join_s`.
3. The round is planned for the devices that are ready: the group size, and the smallest sum, which
   sets the noise of each device.
4. The window closes early when every ready device has advertised, or when it is full.
5. After a round that failed although nobody can be blamed, a random fifth of the ready devices sits
   out the next one. A device that spoils rounds without a trace is out of every fifth round that
   way, whoever it is. The draw is the server's own: it decides who may take part now, and nothing
   about anybody's privacy.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from server_stub.rounds.lifecycle import RoundPlan

READY_FOR_POLLS = 2
"""One poll may get lost before a device no longer counts as ready."""
GRACE_S = 30
"""For a slow network, or a computer that wakes up late."""
SITTING_OUT_PARTS = 5
"""One part of the ready devices in so many sits out after a failure that nobody is blamed for."""
SURVIVAL_PERCENT = 60
"""The smallest sum, as a share of the group. At γ = 0.2 the threshold demands as much anyway."""


class ReadyPool:
    """The devices that are ready to join a round on the current model."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def add(self, device_id: str, now: int, next_poll_s: int) -> None:
        """A device says that it is ready and will poll again in `next_poll_s`."""
        self._until[device_id] = now + READY_FOR_POLLS * next_poll_s + GRACE_S

    def restore(self, devices: Iterable[str], until: int) -> None:
        """Count devices that were ready before a restart until this time."""
        self._until.update(dict.fromkeys(devices, until))

    def remove(self, device_id: str) -> None:
        self._until.pop(device_id, None)

    def clear(self) -> None:
        """Start again: no device has trained the model that was just published."""
        self._until.clear()

    def devices(self, now: int) -> frozenset[str]:
        """The devices that are ready now."""
        self._until = {device_id: until for device_id, until in self._until.items() if until >= now}
        return frozenset(self._until)


@dataclass(frozen=True)
class GroupPlan:
    """The group sizes that a round is planned with."""

    g_max: int
    min_sum: int
    capacity: int
    """Devices that the window takes."""


@dataclass(frozen=True)
class Invited:
    """The ready devices, parted for one round."""

    joining: frozenset[str]
    sitting_out: frozenset[str] = frozenset()


def invite(ready: Iterable[str], least: int, draw: Callable[[int], int]) -> Invited:
    """Let a random fifth of the ready devices sit out, but leave at least `least` of them.

    `draw(n)` is uniform in 0 to n - 1.
    """
    staying = sorted(ready)
    out = []
    for _ in range(min(len(staying) // SITTING_OUT_PARTS, max(0, len(staying) - least))):
        out.append(staying.pop(draw(len(staying))))
    return Invited(frozenset(staying), frozenset(out))


def is_enough(ready: int, plan: RoundPlan) -> bool:
    """Whether this many ready devices start a window."""
    # A target below the smallest group would announce windows that cannot make one.
    return ready >= max(plan.ready_target or plan.min_group, plan.min_group)


def plan_groups(expected: int, plan: RoundPlan) -> GroupPlan:
    """Group sizes for `expected` devices: equal groups, as few as hold them all.

    Each has room for a quarter more, so that a few more or fewer devices than expected need no
    other number of groups. A single group takes as many; several take no more than expected.
    """
    count = -(-expected // plan.g_max)
    size = -(-expected // count)
    g_max = min(plan.g_max, max(plan.min_group, size + size // 4))
    capacity = g_max if count == 1 else expected
    return GroupPlan(g_max, _min_sum(expected // count, g_max, plan), capacity)


def _min_sum(size: int, g_max: int, plan: RoundPlan) -> int:
    """m: never below the plan's, and more than the devices that may collude."""
    least = max(plan.min_sum, plan.gamma_milli * g_max // 1000 + 1)
    return min(g_max, max(least, size * SURVIVAL_PERCENT // 100))


def poll_s(
    plan: RoundPlan, usual_s: int, *, is_ready: bool, opens: int, now: int, draw: float
) -> int:
    """Seconds until a device polls again. `opens`: when the announced window opens, 0 for none;
    `draw`: uniform in [0, 1).

    A ready device polls often enough to hear of a window before it opens.
    """
    if is_ready and opens:
        return max(1, opens - now)
    # Half the lead: a device that misses one poll still hears of the window.
    longest = min(usual_s, max(1, plan.lead_s // 2)) if is_ready else usual_s
    # Between three quarters and the whole: devices that started together spread out.
    return max(1, round(longest * (0.75 + draw / 4)))
