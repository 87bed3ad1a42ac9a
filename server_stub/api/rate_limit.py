"""Token buckets: how often an address, a certificate or a token may ask.

Memory is bounded: beyond MAX_BUCKETS the bucket that was used longest ago is dropped. One process.
"""

import math
from collections import OrderedDict

from server_stub.config.limits import Rate
from server_stub.errors import BusyError

MAX_BUCKETS = 100_000


class Buckets:
    """One bucket for each kind and key. `now_s` is monotonic."""

    def __init__(self) -> None:
        self._levels: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """How many tokens a bucket had, and when; the bucket used last is at the end."""

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Take a token. Raises BusyError TOO_MANY if there is none."""
        level = self.require(kind, key, rate, now_s)
        self._levels[kind, key] = (level - 1, now_s)
        self._levels.move_to_end((kind, key))
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)

    def require(self, kind: str, key: str, rate: Rate, now_s: float) -> float:
        """Return how many tokens there are. Raises BusyError TOO_MANY if there is none."""
        level, then_s = self._levels.get((kind, key), (float(rate.burst), now_s))
        level = min(float(rate.burst), level + (now_s - then_s) * rate.per_s)
        if level < 1:
            raise BusyError("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))
        return level
