"""Token buckets: how often an address, a certificate or a token may ask. Bounded memory; one process."""

import math
from collections import OrderedDict
from dataclasses import dataclass

from server_stub.problems import Busy

MAX_BUCKETS = 100_000


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second after that."""

    burst: int
    per_s: float


@dataclass(frozen=True)
class Rates:
    """The limits. An organisation's many devices may share one address."""

    address: Rate = Rate(1000, 100.0)
    """Requests of one address that show no certificate."""
    certificate: Rate = Rate(120, 10.0)
    """Requests of one device."""
    registration: Rate = Rate(500, 5.0)
    """Registrations of one address."""
    token: Rate = Rate(500, 5.0)
    """Registrations with one token."""
    failure: Rate = Rate(30, 0.1)
    """Wrong tokens, wrong erase secrets and bad signatures of one address."""


class Buckets:
    """`now_s` is monotonic."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Take one. Raises Busy TOO_MANY when there is none."""
        level = self._level(kind, key, rate, now_s)
        if level < 1:
            raise Busy("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))
        self._held[kind, key] = (level - 1, now_s)
        self._held.move_to_end((kind, key))
        if len(self._held) > MAX_BUCKETS:
            self._held.popitem(last=False)

    def demand(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Raise Busy TOO_MANY when there is none, without taking one."""
        level = self._level(kind, key, rate, now_s)
        if level < 1:
            raise Busy("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))

    def _level(self, kind: str, key: str, rate: Rate, now_s: float) -> float:
        level, then = self._held.get((kind, key), (float(rate.burst), now_s))
        return min(float(rate.burst), level + (now_s - then) * rate.per_s)
