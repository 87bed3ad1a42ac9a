"""Files between two jobs: encrypted under the job key (AES-256-GCM), which lives in the agent's
memory only.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent import atomic_file
from agent.errors import InternalError

MAX_SCRATCH_BYTES = 64 * 1024 * 1024
_NONCE_BYTES = 12


def write(path: str, key: bytes, label: str, content: bytes) -> None:
    """Write `content` so that only who holds the key can read it, and only as what `label` says.

    Raises OSError.
    """
    nonce = os.urandom(_NONCE_BYTES)
    atomic_file.write(Path(path), nonce + AESGCM(key).encrypt(nonce, content, label.encode()))


def read(path: str, key: bytes, label: str) -> bytes:
    """The content.

    Raises InternalError SCRATCH_UNREADABLE when it is missing, altered, of another key or another
    label.
    """
    try:
        held = atomic_file.read(Path(path), MAX_SCRATCH_BYTES)
        return AESGCM(key).decrypt(held[:_NONCE_BYTES], held[_NONCE_BYTES:], label.encode())
    except (OSError, ValueError, InvalidTag) as error:
        raise InternalError(
            "SCRATCH_UNREADABLE",
            "The trained update cannot be read.",
            "It is trained again at the next pass.",
            type(error).__name__,
        ) from error


def remove(path: str) -> None:
    """Remove a file if it is there."""
    Path(path).unlink(missing_ok=True)
