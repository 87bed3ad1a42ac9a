"""The Merkle tree of the issuance log (RFC 9162 §2.1): its head, and proofs that an entry is in it
and that it only grew.
"""

import hashlib
from collections.abc import Iterable, Sequence


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry. The prefix keeps a leaf from passing as a node."""
    return hashlib.sha256(b"\0" + entry).digest()


class Tree:
    """The leaf hashes of a log.

    It only grows, so the hashes of complete subtrees are kept: a head or a proof costs the
    logarithm of the size.
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._leaves = list(leaves)
        self._subtrees: dict[tuple[int, int], bytes] = {}

    def __len__(self) -> int:
        return len(self._leaves)

    def grow(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes."""
        self._leaves.extend(leaves)

    def root(self, size: int | None = None) -> bytes:
        """Return the head of the first `size` leaves, or of all (§2.1.1)."""
        size = len(self) if size is None else size
        return self._head(0, size) if size else hashlib.sha256(b"").digest()

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the hashes that lead from leaf `index` to the head of `size` leaves (§2.1.3.1).

        Raises IndexError.
        """
        if not 0 <= index < size <= len(self):
            raise IndexError(index)
        path, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._head(middle, high))
                high = middle
            else:
                path.append(self._head(low, middle))
                low = middle
        return path[::-1]

    def consistency_proof(self, earlier: int, size: int) -> list[bytes]:
        """Return the hashes that show the first `earlier` of `size` leaves to be unchanged
        (§2.1.4.1).

        Raises IndexError.
        """
        if not 0 < earlier <= size <= len(self):
            raise IndexError(earlier)
        path, low, high = [], 0, size
        while earlier != high:
            middle = low + _split(high - low)
            if earlier <= middle:
                path.append(self._head(middle, high))
                high = middle
            else:
                path.append(self._head(low, middle))
                low = middle
        if low:
            path.append(self._head(low, high))
        return path[::-1]

    def _head(self, low: int, high: int) -> bytes:
        size = high - low
        if size == 1:
            return self._leaves[low]
        if (low, high) in self._subtrees:
            return self._subtrees[low, high]
        middle = low + _split(size)
        head = _node(self._head(low, middle), self._head(middle, high))
        if not size & (size - 1):  # a complete subtree never changes
            self._subtrees[low, high] = head
        return head


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], head: bytes) -> bool:
    """Check an inclusion proof (§2.1.3.2)."""
    if not 0 <= index < size:
        return False
    first, last, value = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if first & 1 or first == last:
            value = _node(step, value)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            value = _node(value, step)
        first, last = first >> 1, last >> 1
    return last == 0 and value == head


def is_consistent(
    earlier: int, size: int, earlier_head: bytes, head: bytes, proof: Sequence[bytes]
) -> bool:
    """Check a consistency proof (§2.1.4.2)."""
    if earlier == size:
        return not proof and earlier_head == head
    if not 0 < earlier < size or not proof:
        return False
    path = list(proof) if earlier & (earlier - 1) else [earlier_head, *proof]
    first, last = earlier - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            old, new = _node(step, old), _node(step, new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new = _node(new, step)
        first, last = first >> 1, last >> 1
    return last == 0 and old == earlier_head and new == head


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
