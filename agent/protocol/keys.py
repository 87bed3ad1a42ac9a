"""Keys for one purpose each, derived from a secret under a label."""

from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive(secret: bytes, label: bytes, salt: bytes = b"") -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA256, RFC 5869; the label is the info)."""
    return HKDF(SHA256(), KEY_BYTES, salt, label).derive(secret)


def pair_key(
    secret: bytes, context: bytes, one: int, other: int, model_digest: str, config_digest: str
) -> bytes:
    """Key of the mask between two devices (numbers in the roster, either order) from their X25519
    `secret`.
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
    return derive(secret, b"secagg/self" + own.to_bytes(2, "big"), context)


def self_secret_digest(context: bytes, secret: bytes) -> bytes:
    """What a device publishes of its self-mask secret, so that a wrong reconstruction shows."""
    return sha256(b"secagg/self-digest" + context + secret).digest()
