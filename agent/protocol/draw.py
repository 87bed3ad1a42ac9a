"""The draw of a round: who shares a group with whom. Both ends compute it alike.

1. Each device that advertised is one leaf: the hash of its signed advertisement. The list of all
   leaves, ascending, is what the draw is made from; every device gets the whole list.
2. The beacon is a hash over the list and, where the round has a witness, over the seed that the
   witness drew after the list was fixed (agent.protocol.witness).
3. The beacon shuffles the leaves and cuts the shuffled list into groups, whose sizes differ by one
   at most. Their number follows from the number of leaves alone.

So a device that has the list knows its group, and that nobody chose it: with a witness nobody, and
without one the aggregator, which may try lists until it likes a draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from agent.protocol.messages import RoundConfig

LEAF_BYTES = 32


@dataclass(frozen=True)
class Draw:
    """The groups of a round, drawn from the list of leaves."""

    leaves: tuple[bytes, ...]
    """Ascending and distinct."""
    seed: bytes = b""
    """The witness's; empty without one."""

    @cached_property
    def beacon(self) -> bytes:
        return sha256(b"secagg/beacon\0" + list_digest(self.leaves) + self.seed).digest()

    def groups(self, config: RoundConfig) -> list[frozenset[bytes]]:
        """Return the leaves of each group; a leaf in none of them is left out of the round."""
        count = group_count(len(self.leaves), config)
        shuffled = sorted(self.leaves, key=self._place)
        size, larger = divmod(len(shuffled), count) if count else (0, 0)
        if size >= config.g_max:
            size, larger = config.g_max, 0
        sizes = [size + (number < larger) for number in range(count)]
        ends = [sum(sizes[: number + 1]) for number in range(count)]
        return [
            frozenset(shuffled[end - size : end]) for end, size in zip(ends, sizes, strict=True)
        ]

    def _place(self, leaf: bytes) -> bytes:
        return sha256(b"secagg/place\0" + self.beacon + leaf).digest()


def leaf(record: bytes) -> bytes:
    """Hash a signed advertisement, as it stands in a roster."""
    return sha256(b"secagg/leaf\0" + record).digest()


def list_digest(leaves: Sequence[bytes]) -> bytes:
    """Return the digest of the list of leaves."""
    return sha256(b"secagg/list\0" + b"".join(leaves)).digest()


def group_count(advertised: int, config: RoundConfig) -> int:
    """Return the number of groups for so many devices.

    As few as fit all of them; fewer where a group would be below `min_group`. Then the groups are
    as large as allowed, and the last devices of the shuffled list are left out.
    """
    return min(-(-advertised // config.g_max), advertised // config.min_group)
