"""The round's beacon: a Merkle tree over each device's (device id, nonce). Its root draws the
groups, so no one chooses who shares a group with whom.

Leaves are in the order of the device ids. Hashing follows RFC 6962 §2.1, which tells leaves from
nodes. A device can verify that each member of its group is in the tree and that the root assigns it
to this group. It cannot verify that the aggregator left no one out.
"""

from collections.abc import Sequence
from hashlib import sha256


def leaf(device_id: str, nonce: bytes) -> bytes:
    """Hash one device's entry."""
    return sha256(b"\0" + nonce + device_id.encode()).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf digests; at least one."""
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return _node(root(leaves[:middle]), root(leaves[middle:]))


def proof(leaves: Sequence[bytes], at: int) -> list[bytes]:
    """Return the siblings from leaf `at` up to the root."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if at < middle:
        return [*proof(leaves[:middle], at), root(leaves[middle:])]
    return [*proof(leaves[middle:], at - middle), root(leaves[:middle])]


def root_of(own: bytes, at: int, count: int, siblings: Sequence[bytes]) -> bytes:
    """Compute the root from the leaf at index `at` of `count` and its siblings.

    Raises ValueError when there are too few or too many siblings.
    """
    if not 0 <= at < count:
        raise ValueError("no such leaf")
    if count == 1:
        if siblings:
            raise ValueError("too many siblings")
        return own
    if not siblings:
        raise ValueError("too few siblings")
    middle = _split(count)
    if at < middle:
        return _node(root_of(own, at, middle, siblings[:-1]), siblings[-1])
    return _node(siblings[-1], root_of(own, at - middle, count - middle, siblings[:-1]))


def proofs(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return `proof` for every leaf; hashes each node once."""
    return _proofs(leaves)[1]


def group_of(beacon: bytes, device_id: str, groups: int) -> int:
    """Return the group that the beacon draws for a device."""
    return (
        int.from_bytes(sha256(b"secagg/group" + beacon + device_id.encode()).digest()[:8], "big")
        % groups
    )


def _proofs(leaves: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
    if len(leaves) == 1:
        return leaves[0], [[]]
    middle = _split(len(leaves))
    left, left_proofs = _proofs(leaves[:middle])
    right, right_proofs = _proofs(leaves[middle:])
    return _node(left, right), [
        *([*path, right] for path in left_proofs),
        *([*path, left] for path in right_proofs),
    ]


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _split(count: int) -> int:
    """Return the largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)
