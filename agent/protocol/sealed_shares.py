"""Encrypts the two shares that a dealer sends to a holder, and opens them again.

A device opens what it was dealt, and whoever judges a complaint opens it again with the secret that
the device gave away: both come to the same answer.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.protocol.codec import SealedShares
from agent.protocol.field import ELEMENT_BYTES, from_bytes
from agent.protocol.keys import derive
from agent.protocol.sharing import commitment

NO_NONCE = bytes(12)
"""A key encrypts a single message: it belongs to one round, one sender and one receiver."""


def seal_shares(
    secret: bytes, context: bytes, dealer: int, holder: int, self_share: bytes, pair_share: bytes
) -> SealedShares:
    """Encrypt both shares under the X25519 `secret` of dealer and holder, and commit to them."""
    key, bound = _key(secret, context, dealer, holder)
    return SealedShares(
        AESGCM(key).encrypt(NO_NONCE, self_share + pair_share, bound),
        *commitments(context, dealer, holder, self_share, pair_share),
    )


def open_shares(
    secret: bytes, context: bytes, dealer: int, holder: int, sealed: SealedShares
) -> tuple[bytes, bytes]:
    """Return self share and pair share.

    Raises ValueError unless both decrypt, match their commitments and are elements of the field.
    """
    key, bound = _key(secret, context, dealer, holder)
    try:
        both = AESGCM(key).decrypt(NO_NONCE, sealed.sealed, bound)
    except InvalidTag as error:
        raise ValueError("the shares do not decrypt") from error
    self_share, pair_share = both[:ELEMENT_BYTES], both[ELEMENT_BYTES:]
    expected = commitments(context, dealer, holder, self_share, pair_share)
    if expected != (sealed.self_commitment, sealed.pair_commitment):
        raise ValueError("the shares do not match their commitments")
    for share in (self_share, pair_share):
        from_bytes(share)
    return self_share, pair_share


def commitments(
    context: bytes, dealer: int, holder: int, self_share: bytes, pair_share: bytes
) -> tuple[bytes, bytes]:
    """Return what the dealer publishes of the two shares."""
    return (
        commitment(context, dealer, holder, "self", self_share),
        commitment(context, dealer, holder, "pair", pair_share),
    )


def _key(secret: bytes, context: bytes, dealer: int, holder: int) -> tuple[bytes, bytes]:
    """Return key and associated data."""
    route = dealer.to_bytes(2, "big") + holder.to_bytes(2, "big")
    return derive(secret, b"secagg/enc" + route, context), context + route + b"shares"
