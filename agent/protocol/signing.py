"""Ed25519 signatures over canonical JSON, each under a label: a signature for one purpose is
worthless for another.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any

from agent.errors import PeerError
from agent.protocol.canonical import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Context(Enum):
    """The purpose of a signature."""

    INVITATION = "aegisai/invitation/1"
    OFFER = "aegisai/offer/1"
    RECEIPT = "aegisai/receipt/1"
    MODEL = "aegisai/model/1"


def sign(private: "Ed25519PrivateKey", context: Context, value: Any) -> str:
    """Sign `value`; returns 64 bytes in hex. Raises TypeError where `canonical` does."""
    return private.sign(_message(context, value)).hex()


def verify(public_hex: str, context: Context, value: Any, signature: str) -> None:
    """Check a signature made by `sign` with the key whose 32 public bytes are `public_hex`.

    Raises PeerError BAD_SIGNATURE.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
        public.verify(bytes.fromhex(signature), _message(context, value))
    except (InvalidSignature, ValueError, TypeError) as error:
        raise PeerError(
            "BAD_SIGNATURE",
            "A message does not carry the aggregator's signature.",
            "Nothing was changed.",
            context.value,
        ) from error


def public_hex(private: "Ed25519PrivateKey") -> str:
    """Return the 32 public bytes of a key, in hex."""
    return private.public_key().public_bytes_raw().hex()


def _message(context: Context, value: Any) -> bytes:
    return context.value.encode() + b"\0" + canonical(value)
