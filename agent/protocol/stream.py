"""A stream of pseudo-random words from a 32-byte key: AES-256 in counter mode.

A statistical generator (numpy's, say) must never take its place: its output can be predicted.
"""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from agent.protocol.keys import KEY_BYTES

_CHUNK_BYTES = 1 << 16


class Stream:
    """The words of one key's stream, in order. A key serves one stream only."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected {KEY_BYTES} bytes of key")
        self._cipher = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
        self._zeros = memoryview(bytes(_CHUNK_BYTES))

    def fill(self, words: "NDArray[np.unsignedinteger]") -> None:
        """Fill a contiguous array with little-endian words."""
        target = memoryview(words.view(np.uint8))  # type: ignore[arg-type]
        for start in range(0, len(target), _CHUNK_BYTES):
            piece = target[start : start + _CHUNK_BYTES]
            self._cipher.update_into(self._zeros[: len(piece)], piece)

    def words64(self, count: int) -> NDArray[np.uint64]:
        """Draw 64-bit words."""
        words = np.empty(count, "<u8")
        self.fill(words)
        return words

    def bytes8(self, count: int) -> NDArray[np.uint8]:
        """Draw bytes."""
        words = np.empty(count, np.uint8)
        self.fill(words)
        return words
