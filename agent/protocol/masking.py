"""Masks of secure aggregation: whole vectors from a 32-byte key each, which cancel in the sum of a
group or are removed with shares.

1. Pair mask: both devices derive one key from their X25519 secret; the lower-numbered one adds the
   expansion, the other subtracts it. The key holds group context, model and configuration digests:
   devices that were told different things have masks that do not cancel.
2. Self mask: from a secret of the device's own, so that a pair mask made known for a late input
   does not uncover it.
3. Expansion: AES-256-CTR, 32-bit words, added modulo 2³² (which is right modulo any smaller power
   of two).
"""

from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

WORDS_A_BLOCK = 4
CHUNK_WORDS = 1 << 13
"""Expanded and added while it is in the processor's cache."""


def apply(
    words: NDArray[np.uint32], add: Iterable[bytes], subtract: Iterable[bytes], first: int = 0
) -> None:
    """Add and subtract the expansions of keys, in place. One piece of the vector at a time, for all
    keys, while it is in the cache.

    `first`: place of words[0] in the whole vector, a multiple of 4 (16 bytes are one block of the
    cipher).
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
