"""Derives keys from secrets, each for one purpose that its label names."""

from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive(secret: bytes, label: bytes, salt: bytes = b"") -> bytes:
    """Derive a 32-byte key for one purpose (HKDF-SHA256, RFC 5869; the label is the info)."""
    return HKDF(SHA256(), KEY_BYTES, salt, label).derive(secret)


def pair_key(
    secret: bytes, context: bytes, one: int, other: int, model_digest: str, config_digest: str
) -> bytes:
    """Derive the key of the mask between two devices from their X25519 `secret`.

    `one` and `other` are their numbers in the roster, in either order.
    """
    low, high = sorted((one, other))
    label = (
        b"secagg/pair"
        + low.to_bytes(2, "big")
        + high.to_bytes(2, "big")
        + bytes.fromhex(model_digest)
        + bytes.fromhex(config_digest)
    )
    return derive(secret, label, context)


def self_key(secret: bytes, context: bytes, own: int) -> bytes:
    """Derive the key of a device's self mask; `own` is its number in the roster."""
    return derive(secret, b"secagg/self" + own.to_bytes(2, "big"), context)


def self_secret_digest(context: bytes, secret: bytes) -> bytes:
    """Return the digest that a device publishes of its self-mask secret: it exposes a wrong
    reconstruction.
    """
    return sha256(b"secagg/self-digest" + context + secret).digest()
