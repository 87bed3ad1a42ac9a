"""What a key store is: the place that keeps the one secret which opens the identity file.

1. `get`, `put` and `describe` never raise a prompt. Only `unlock` may, and a `delete` with
   `may_prompt`, and only after the person pressed a button. (macOS itself may ask after the
   program's signature has changed.)
2. Any call may block. Call from an executor, never on the event loop.
3. Each state in which a store cannot be used has an error code of its own
   (`agent.identity.errors`). Only a damaged file means that the identity is lost.

`os_keyring` is the default, `file_keystore` an administrator's choice, `memory_keystore` for
demonstrations. `key_store_choice` picks one by the setting `key_store`.
"""

from dataclasses import dataclass
from typing import Protocol

from agent.errors import AegisError


@dataclass(frozen=True)
class KeyStoreFacts:
    """The state of a key store, for `aegis doctor`."""

    kind: str
    """"os", "credential", "passphrase" or "memory"."""
    backend: str
    problem: AegisError | None = None
    """Why it cannot be used; None when it can."""

    @property
    def usable(self) -> bool:
        """Whether it can be used now."""
        return self.problem is None


class KeyStore(Protocol):
    """Small secrets by name.

    All methods but `describe` raise the errors of `agent.identity.errors` that are about a key
    store, and UserActionError KEYRING_TOO_LARGE.
    """

    def get(self, name: str) -> bytes | None:
        """Return the secret, or None."""

    def put(self, name: str, secret: bytes) -> None:
        """Store or replace the secret."""

    def delete(self, name: str, *, may_prompt: bool = False) -> None:
        """Remove the secret, if it is there. A store that asks first may do so if `may_prompt`."""

    def unlock(self) -> None:
        """Let the person open the store; the only call that may raise a prompt."""

    def describe(self) -> KeyStoreFacts:
        """Return the state of the store."""
