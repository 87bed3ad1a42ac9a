"""Keys for one purpose each, derived from a secret under a label."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive(secret: bytes, label: str | bytes, salt: bytes = b"") -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA256, RFC 5869; the label is the info)."""
    return HKDF(SHA256(), KEY_BYTES, salt, label.encode() if isinstance(label, str) else label).derive(secret)
