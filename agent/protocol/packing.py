"""Packs words modulo 2^B without gaps, B in {16, 20, 24, 32}; the same bytes on every machine.

16 and 32 bits: little-endian words. 24 bits: the lower three bytes of each word. 20 bits: two words
make five bytes, little-endian (a + b·2²⁰); a zero word follows an odd last word.
"""

import numpy as np
from numpy.typing import NDArray

from agent.errors import PeerError


def packed_bytes(count: int, bits: int) -> int:
    """Return the length of `count` packed words."""
    return (count + 1) // 2 * 5 if bits == 20 else count * bits // 8


def pack(words: NDArray[np.uint32], bits: int) -> bytes:
    """Pack the lower `bits` bits of each word."""
    words = np.ascontiguousarray(words, "<u4")
    if bits == 32:
        return words.tobytes()
    if bits == 16:
        return words.astype("<u2").tobytes()
    if bits == 24:
        return words.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    if bits == 20:
        pairs = (np.append(words, np.uint32(0)) if len(words) % 2 else words).reshape(
            -1, 2
        ) & np.uint32(0xFFFFF)
        joined = pairs[:, 0].astype("<u8") | (pairs[:, 1].astype("<u8") << np.uint64(20))
        return bytes(joined.view(np.uint8).reshape(-1, 8)[:, :5].tobytes())
    raise ValueError(f"bits: expected 16, 20, 24 or 32, got {bits}")


def unpack(content: bytes, bits: int, count: int) -> NDArray[np.uint32]:
    """Unpack `count` words.

    Raises PeerError WRONG_SHAPE when the length or the padding is not exactly right.
    """
    if len(content) != packed_bytes(count, bits):
        raise _wrong(f"expected {packed_bytes(count, bits)} bytes, got {len(content)}")
    raw = np.frombuffer(content, np.uint8)
    if bits == 32:
        return np.frombuffer(content, "<u4").astype(np.uint32)
    if bits == 16:
        return np.frombuffer(content, "<u2").astype(np.uint32)
    if bits == 24:
        wide = np.zeros((count, 4), np.uint8)
        wide[:, :3] = raw.reshape(-1, 3)
        return wide.reshape(-1).view("<u4").astype(np.uint32)
    if bits == 20:
        wide = np.zeros((len(raw) // 5, 8), np.uint8)
        wide[:, :5] = raw.reshape(-1, 5)
        joined = wide.reshape(-1).view("<u8")
        words = np.empty(2 * len(joined), np.uint32)
        words[0::2] = joined & np.uint64(0xFFFFF)
        words[1::2] = joined >> np.uint64(20)
        if words[count:].any():
            raise _wrong("the padding is not zero")
        return words[:count]
    raise ValueError(f"bits: expected 16, 20, 24 or 32, got {bits}")


def _wrong(detail: str) -> PeerError:
    return PeerError(
        "WRONG_SHAPE", "An update does not have the round's shape.", "Nothing was changed.", detail
    )
