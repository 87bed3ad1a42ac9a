"""How long a proof excludes a device. Pure.

1. The first proof excludes a device from one round, each further one from twice as many, up to
   MOST_ROUNDS.
2. Rounds may be rare, and without the excluded devices there may be none. So an exclusion also ends
   after a day for each of its rounds.
3. A proof counts for MEMORY_S. One that the operator released does not count.
4. All proofs of one round count as one: the first is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MOST_ROUNDS = 64
DAY_S = 24 * 3600
MEMORY_S = 180 * DAY_S


@dataclass(frozen=True)
class Exclusion:
    """The consequence of one proof."""

    device_id: str
    code: str
    round_id: int
    """The round in which the fault was proven."""
    found_at: int
    """Seconds since the epoch."""
    rounds: int
    """The number of rounds that the device misses."""
    released_at: int | None = None
    """When the operator ended it."""

    @property
    def until_round(self) -> int:
        """The last round that the device misses."""
        return self.round_id + self.rounds

    @property
    def until(self) -> int:
        """When it ends at the latest, in seconds since the epoch."""
        return self.found_at + self.rounds * DAY_S

    def to_json(self) -> dict[str, Any]:
        return {
            "device_id": self.device_id,
            "code": self.code,
            "round_id": self.round_id,
            "found_at": self.found_at,
            "rounds": self.rounds,
            "until_round": self.until_round,
            "until": self.until,
            "released_at": self.released_at,
        }

    def is_active(self, round_id: int, now: int) -> bool:
        """Whether the device is excluded from this round."""
        return (
            self.released_at is None
            and self.round_id < round_id <= self.until_round
            and now < self.until
        )


def rounds_out(earlier: Iterable[Exclusion], now: int) -> int:
    """How many rounds a device misses for a new proof, given its earlier ones."""
    counting = sum(one.released_at is None and now - one.found_at < MEMORY_S for one in earlier)
    return int(min(1 << min(counting, 30), MOST_ROUNDS))


def longest(exclusions: Iterable[Exclusion], round_id: int, now: int) -> Exclusion | None:
    """The exclusion that keeps a device out of this round longest; None if it may take part."""
    active = [one for one in exclusions if one.is_active(round_id, now)]
    return max(active, key=lambda one: one.until_round, default=None)
