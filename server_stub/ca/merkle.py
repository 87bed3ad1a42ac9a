"""The Merkle tree of the issuance log (RFC 9162 §2.1): its head, and the proofs that an entry is in it and that it only grew."""

import hashlib
from collections.abc import Sequence


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Head of the tree over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    cut = _split(len(leaves))
    return _node(root(leaves[:cut]), root(leaves[cut:]))


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the head (§2.1.3.1). Raises IndexError."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    if len(leaves) == 1:
        return []
    cut = _split(len(leaves))
    if index < cut:
        return [*inclusion_proof(leaves[:cut], index), root(leaves[cut:])]
    return [*inclusion_proof(leaves[cut:], index - cut), root(leaves[:cut])]


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


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """The hashes which show that the first `earlier` leaves are still the beginning (§2.1.4.1). Raises IndexError."""
    if not 0 < earlier <= len(leaves):
        raise IndexError(earlier)
    return _subproof(leaves, earlier, whole=True)


def is_consistent(earlier: int, size: int, earlier_head: bytes, head: bytes, proof: Sequence[bytes]) -> bool:
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


def _subproof(leaves: Sequence[bytes], earlier: int, *, whole: bool) -> list[bytes]:
    if earlier == len(leaves):
        return [] if whole else [root(leaves)]
    cut = _split(len(leaves))
    if earlier <= cut:
        return [*_subproof(leaves[:cut], earlier, whole=whole), root(leaves[cut:])]
    return [*_subproof(leaves[cut:], earlier - cut, whole=False), root(leaves[:cut])]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
