"""Masks of secure aggregation: vectors that each expand from a 32-byte key, and that cancel in a
group's sum or are removed with shares (Bonawitz et al. 2017).

1. Pair mask: both devices derive one key from their X25519 secret. The one with the lower number
   adds the expansion, the other subtracts it. The key depends on the digests of group context,
   model and configuration, so masks of devices that saw different values do not cancel.
2. Self mask: from a secret of the device's own, so that pair masks revealed for a late input do not
   uncover it.
3. Expansion: AES-256-CTR, 32-bit words, added modulo 2³². Reduced modulo any smaller power of two,
   the result stays correct.
"""

from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

WORDS_A_BLOCK = 4
CHUNK_WORDS = 1 << 13
"""A piece is expanded and added while it is in the processor's cache."""


def apply(
    words: NDArray[np.uint32], add: Iterable[bytes], subtract: Iterable[bytes], first: int = 0
) -> None:
    """Add and subtract the expansions of keys, in place.

    `first` is the index of words[0] in the whole vector, a multiple of 4: a block of the cipher has
    16 bytes. Works on one piece at a time for all keys, while the piece is in the cache.
    """
    zeros = memoryview(bytes(4 * CHUNK_WORDS))
    spare = np.empty(CHUNK_WORDS, "<u4")
    raw = memoryview(spare.view(np.uint8))  # type: ignore[arg-type]
    start_block = modes.CTR((first // WORDS_A_BLOCK).to_bytes(16, "big"))
    expansions = [
        (Cipher(algorithms.AES256(key), start_block).encryptor().update_into, operation)
        for keys, operation in ((add, np.add), (subtract, np.subtract))
        for key in keys
    ]
    for start in range(0, len(words), CHUNK_WORDS):
        piece = words[start : start + CHUNK_WORDS]
        source, target, mask = zeros[: 4 * len(piece)], raw[: 4 * len(piece)], spare[: len(piece)]
        for expand, operation in expansions:
            expand(source, target)
            operation(piece, mask, piece)
