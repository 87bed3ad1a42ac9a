"""What a key store is: the place that keeps the one secret which opens the identity file.

1. `get`, `put` and `delete` never raise a prompt. Only `unlock` may, and only after the person
   pressed a button. (macOS itself may ask after the program's signature has changed.)
2. Any call may block. Call from an executor, never on the event loop.
3. A locked, absent, full or refusing store has an error code of its own. None of them means that
   the identity is lost.

`os_keyring` is the default, `file_keystore` an administrator's choice, `memory_keystore` for
demonstrations. `key_store_choice` picks one by the setting `key_store`.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class KeyStoreFacts:
    """The state of a key store, for `aegis doctor`."""

    kind: str
    """"os", "credential", "passphrase" or "memory"."""
    backend: str
    usable: bool
    problem: str
    """The error's code when it is not usable, else ""."""


class KeyStore(Protocol):
    """Small secrets by name.

    All methods but `describe` raise UserActionError KEYRING_LOCKED, KEYRING_ABSENT, KEYRING_DENIED
    or KEYRING_TOO_LARGE.
    """

    def get(self, name: str) -> bytes | None:
        """Return the secret, or None."""

    def put(self, name: str, secret: bytes) -> None:
        """Store or replace the secret."""

    def delete(self, name: str) -> None:
        """Remove the secret, if it is there."""

    def unlock(self) -> None:
        """Let the person open the store; the only call that may raise a prompt."""

    def describe(self) -> KeyStoreFacts:
        """Return the state of the store."""
