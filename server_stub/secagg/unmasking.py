"""Opens a group's sum: puts secrets together from shares, takes the masks off, and names whoever
dealt a false secret.

1. For who is in the sum, the self-mask secret; for who dealt shares but is not in it, the masking
   key. Never both for one device.
2. A secret must match what its dealer published (digest of the self-mask secret, public masking
   key); otherwise the dealer is to blame.
3. Expanding the left-over masks is most of the work where vectors are long; the cipher and the
   additions run outside of Python's lock, so stretches of the vector are done side by side.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray

from agent.protocol.keys import pair_key, self_key, self_secret_digest
from agent.protocol.masking import CHUNK_WORDS, apply
from agent.protocol.sharing import Combiner

ALONE_BELOW_WORDS = 1 << 16
"""A shorter vector is not worth a second thread."""
MOST_THREADS = 8


class FalseDealer(Exception):
    """A dealer's shares, all as committed, do not make the secret that it published."""

    def __init__(self, dealer: int) -> None:
        super().__init__(f"dealer {dealer}")
        self.dealer = dealer


@dataclass(frozen=True)
class Opening:
    """What is needed beside the shares. Devices go by their numbers in the roster."""

    context: bytes
    """ctx_group."""
    model_digest: str
    config_digest: str
    masking_keys: Sequence[bytes]
    self_digests: Mapping[int, bytes]
    dealers: frozenset[int]
    survivors: frozenset[int]


def unmask(
    words: NDArray[np.uint32], opening: Opening, shares: Mapping[int, Mapping[int, bytes]]
) -> None:
    """Take all masks off the sum of the survivors' words, in place.

    `shares`: by giver, then by dealer; each giver has one for every dealer. Raises FalseDealer.
    """
    givers = sorted(shares)
    combiner = Combiner(givers)
    public = {
        survivor: X25519PublicKey.from_public_bytes(opening.masking_keys[survivor])
        for survivor in sorted(opening.survivors)
    }
    add: list[bytes] = []
    subtract: list[bytes] = []
    for dealer in sorted(opening.dealers):
        try:
            secret = combiner.combine([shares[giver][dealer] for giver in givers])
        except ValueError as error:
            raise FalseDealer(dealer) from error
        if dealer in opening.survivors:
            if self_secret_digest(opening.context, secret) != opening.self_digests[dealer]:
                raise FalseDealer(dealer)
            subtract.append(self_key(secret, opening.context, dealer))
        else:
            above, below = _left_over(dealer, secret, opening, public)
            # A survivor numbered below the missing device added the mask between them; one above
            # subtracted it.
            subtract += below
            add += above
    _applied(words, add, subtract)


def _applied(words: NDArray[np.uint32], add: list[bytes], subtract: list[bytes]) -> None:
    """`apply`, in stretches of whole chunks."""
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    if len(words) < ALONE_BELOW_WORDS or threads == 1:
        apply(words, add, subtract)
        return
    stretch = -(-len(words) // (threads * CHUNK_WORDS)) * CHUNK_WORDS
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(
                lambda first: apply(words[first : first + stretch], add, subtract, first),
                range(0, len(words), stretch),
            )
        )


def _left_over(
    missing: int, secret: bytes, opening: Opening, public: Mapping[int, X25519PublicKey]
) -> tuple[list[bytes], list[bytes]]:
    """Keys of the pair masks between a missing device and the survivors above and below it."""
    private = X25519PrivateKey.from_private_bytes(secret)
    if private.public_key().public_bytes_raw() != opening.masking_keys[missing]:
        raise FalseDealer(missing)
    above: list[bytes] = []
    below: list[bytes] = []
    for survivor, other in public.items():
        key = pair_key(
            private.exchange(other),
            opening.context,
            missing,
            survivor,
            opening.model_digest,
            opening.config_digest,
        )
        (above if survivor > missing else below).append(key)
    return above, below
