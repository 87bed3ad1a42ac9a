"""Token buckets: how often an address, a certificate or a token may ask.

Bounded memory; one process.
"""

import math
from collections import OrderedDict

from server_stub.config.limits import Rate
from server_stub.errors import BusyError

MAX_BUCKETS = 100_000


class Buckets:
    """`now_s` is monotonic."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Take one. Raises BusyError TOO_MANY when there is none."""
        level = self._level(kind, key, rate, now_s)
        if level < 1:
            raise BusyError("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))
        self._held[kind, key] = (level - 1, now_s)
        self._held.move_to_end((kind, key))
        if len(self._held) > MAX_BUCKETS:
            self._held.popitem(last=False)

    def demand(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Raise BusyError TOO_MANY when there is none, without taking one."""
        level = self._level(kind, key, rate, now_s)
        if level < 1:
            raise BusyError("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))

    def _level(self, kind: str, key: str, rate: Rate, now_s: float) -> float:
        level, then = self._held.get((kind, key), (float(rate.burst), now_s))
        return min(float(rate.burst), level + (now_s - then) * rate.per_s)
