"""Shamir's secret sharing of 32-byte secrets: any `threshold` shares give the secret, fewer reveal
nothing (Shamir 1979).

Device number i (its index in the roster, from 0) receives the polynomial's value at i + 1.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from agent.protocol.field import PRIME, evaluate, from_bytes, to_bytes, weights_at_zero

COEFFICIENT_BYTES = 48
"""48 bytes reduced modulo p have a bias below 2⁻¹²⁷."""


def split(
    secret: bytes, threshold: int, count: int, entropy: Callable[[int], bytes]
) -> list[bytes]:
    """Share a 32-byte secret among `count` devices; 33 bytes each. Takes 1 ms for 61 of 100."""
    if len(secret) != 32 or not 1 <= threshold <= count:
        raise ValueError("expected 32 bytes and a threshold between 1 and the number of shares")
    raw = entropy(COEFFICIENT_BYTES * (threshold - 1))
    pieces = (raw[at : at + COEFFICIENT_BYTES] for at in range(0, len(raw), COEFFICIENT_BYTES))
    coefficients = [
        int.from_bytes(secret, "big"),
        *(int.from_bytes(piece, "big") % PRIME for piece in pieces),
    ]
    return [to_bytes(evaluate(coefficients, x)) for x in range(1, count + 1)]


class Combiner:
    """Reconstructs secrets from the shares of one set of devices; computes their weights once."""

    def __init__(self, devices: Sequence[int]) -> None:
        self._weights = weights_at_zero([device + 1 for device in devices])

    def combine(self, shares: Sequence[bytes]) -> bytes:
        """Return the secret. Shares are in the order of the devices.

        Raises ValueError when they are not shares of one 32-byte secret.
        """
        if len(shares) != len(self._weights):
            raise ValueError("expected one share for each device")
        terms = (
            weight * from_bytes(share) for weight, share in zip(self._weights, shares, strict=True)
        )
        secret = sum(terms) % PRIME
        if secret >> 256:
            raise ValueError("the shares do not belong together")
        return secret.to_bytes(32, "big")


def commitment(context: bytes, dealer: int, holder: int, kind: str, share: bytes) -> bytes:
    """Return what a dealer publishes of a share.

    It is binding, and hiding because a share is as random as the secret.
    """
    return sha256(
        b"secagg/commit"
        + context
        + bytes([kind == "pair"])
        + dealer.to_bytes(2, "big")
        + holder.to_bytes(2, "big")
        + share
    ).digest()
