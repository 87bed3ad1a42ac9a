"""Files that one job leaves for the next: AES-256-GCM under the job key, which is only in the
agent's memory.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.errors import InternalError
from agent.files import atomic_file

MAX_SCRATCH_BYTES = 64 * 1024 * 1024
_NONCE_BYTES = 12


def write(path: str, key: bytes, label: str, content: bytes) -> None:
    """Encrypt `content` under `key` and bind it to `label`. Raises OSError."""
    nonce = os.urandom(_NONCE_BYTES)
    atomic_file.write(Path(path), nonce + AESGCM(key).encrypt(nonce, content, label.encode()))


def read(path: str, key: bytes, label: str) -> bytes:
    """Read the content.

    Raises InternalError SCRATCH_UNREADABLE when it is missing or altered, or has another key or
    label.
    """
    try:
        content = atomic_file.read(Path(path), MAX_SCRATCH_BYTES)
        return AESGCM(key).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], label.encode())
    except (OSError, ValueError, InvalidTag) as error:
        raise InternalError(
            "SCRATCH_UNREADABLE",
            "The trained update cannot be read.",
            "AegisAI trains it again in the next cycle.",
            type(error).__name__,
        ) from error


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    Path(path).unlink(missing_ok=True)
