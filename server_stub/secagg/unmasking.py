"""Removes the masks from a group's sum: recombines secrets from shares, expands the masks, and
identifies a device that dealt a false secret.

1. For a device in the sum, the self-mask secret is recombined; for one that dealt shares but
   dropped out, the masking key. Never both for one device.
2. A secret must match what its dealer published (the digest of the self-mask secret, the public
   masking key); otherwise the dealer is to blame.
3. With long vectors most of the time goes into expanding masks. The cipher and the additions
   release Python's lock, so threads work on separate stretches of the vector.
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

SINGLE_THREAD_BELOW_WORDS = 1 << 16
"""A shorter vector is not worth a second thread."""
MAX_THREADS = 8


class FalseDealersError(Exception):
    """Dealers' shares match their commitments but not the secrets that they published."""

    def __init__(self, dealers: tuple[int, ...]) -> None:
        super().__init__(f"dealers {dealers}")
        self.dealers = dealers


@dataclass(frozen=True)
class Opening:
    """What unmasking needs besides the shares. Devices go by their number in the roster."""

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
    """Remove all masks from the sum of the survivors' words, in place.

    `shares`: by giver, then by dealer; every giver has one for every dealer. Raises
    FalseDealersError, with every dealer that lied.
    """
    givers = sorted(shares)
    # Made once: the weights depend on the givers, not on the dealer whose secret they open.
    combiner = Combiner(givers)
    public = {
        survivor: X25519PublicKey.from_public_bytes(opening.masking_keys[survivor])
        for survivor in sorted(opening.survivors)
    }
    add: list[bytes] = []
    subtract: list[bytes] = []
    false: list[int] = []
    for dealer in sorted(opening.dealers):
        try:
            secret = combiner.combine([shares[giver][dealer] for giver in givers])
            if dealer in opening.survivors:
                _require(self_secret_digest(opening.context, secret), opening.self_digests[dealer])
                subtract.append(self_key(secret, opening.context, dealer))
            else:
                above, below = left_over_keys(dealer, secret, opening, public)
                # A survivor with a lower number than the missing device added the mask that they
                # share; one with a higher number subtracted it.
                subtract += below
                add += above
        except ValueError:
            # Each share matched its commitment, so the givers are honest and the dealer is not.
            false.append(dealer)
    if false:
        raise FalseDealersError(tuple(false))
    _apply_in_threads(words, add, subtract)


def _apply_in_threads(words: NDArray[np.uint32], add: list[bytes], subtract: list[bytes]) -> None:
    """`apply`, with each thread on its own stretch of whole chunks."""
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    if len(words) < SINGLE_THREAD_BELOW_WORDS or threads == 1:
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


def left_over_keys(
    missing: int, secret: bytes, opening: Opening, public: Mapping[int, X25519PublicKey]
) -> tuple[list[bytes], list[bytes]]:
    """Keys of the pair masks that a missing device left in the sum: those shared with survivors
    that have a higher number, and with those that have a lower one.

    Raises ValueError when `secret` is not the device's masking key.
    """
    private = X25519PrivateKey.from_private_bytes(secret)
    _require(private.public_key().public_bytes_raw(), opening.masking_keys[missing])
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


def _require(restored: bytes, published: bytes) -> None:
    """Raises ValueError when a restored secret is not the one that its dealer published."""
    if restored != published:
        raise ValueError("another secret was published")
