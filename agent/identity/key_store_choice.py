"""Picks the key store that holds this device's key, and opens the identity file with it."""

import functools
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from agent.errors import AegisError
from agent.files import atomic_file
from agent.paths import Home

if TYPE_CHECKING:
    from agent.identity.identity import IdentityFile
    from agent.identity.keystore import KeyStore


class KeyStoreChoice:
    """Finds the key store by the setting `key_store`: "os", "credential" or "passphrase".

    cryptography and keyring are imported on first use: a device without consent needs neither.
    """

    def __init__(
        self,
        home: Home,
        environ: Mapping[str, str],
        kind: Callable[[], str],
        *,
        override: "KeyStore | None" = None,
    ) -> None:
        """`kind` returns the setting's value at the time of the call. `override` replaces every
        kind.
        """
        self._home = home
        self._environ = environ
        self._kind = kind
        self._override = override
        self._opened: dict[str, KeyStore] = {}

    def key_store(self) -> "KeyStore":
        """Return the store that the setting names; the same object for the same kind.

        A demonstration's home uses memory in place of the operating system's store.
        """
        if self._override is not None:
            return self._override
        kind = self._kind()
        kind = "memory" if self._home.is_demo and kind == "os" else kind
        if kind not in self._opened:
            self._opened[kind] = self._make(kind)
        return self._opened[kind]

    def identity_file(self) -> "IdentityFile":
        """Return the identity file. Finds the key store first; `has_identity` does not."""
        from agent.identity.identity import IdentityFile

        return IdentityFile(self._home.root, self.key_store())

    def has_identity(self) -> bool:
        """Whether an identity file exists, readable or not."""
        return self._home.identity.exists()

    def discard_identity(self) -> None:
        """Delete an identity that no server knows, even when its key store does not answer."""
        with suppress(AegisError):
            self.identity_file().destroy()
        self._home.identity.unlink(missing_ok=True)

    def forget_identity(self) -> None:
        """Delete the identity's file and leave the key store alone: another copy of this home may
        use the same item. Raises OSError.
        """
        atomic_file.remove(self._home.identity)

    def _make(self, kind: str) -> "KeyStore":
        """Make the store; nothing is opened or asked yet."""
        if kind == "memory":
            from agent.identity.memory_keystore import MemoryKeyStore

            return MemoryKeyStore()
        if kind == "os":
            from agent.identity.os_keyring import OsKeyStore

            return OsKeyStore()
        from agent.identity.file_keystore import FileKeyStore, credential, terminal_passphrase

        secret: Callable[[], bytes] = (
            (lambda: credential(self._environ))
            if kind == "credential"
            else functools.cache(terminal_passphrase)  # asked for once in a process's life
        )
        return FileKeyStore(self._home.root / "keystore.aead", kind, secret)
