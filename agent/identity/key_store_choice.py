"""Picks the key store that holds this device's key, and opens the identity file with it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
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
        passphrase_from: str = "",
    ) -> None:
        """`kind` returns the setting's value at the time of the call. `override` replaces every
        kind. `passphrase_from` names a file, or standard input by "-"; "" is the terminal.
        """
        self._home = home
        self._environ = environ
        self._kind = kind
        self._override = override
        self._passphrase_from = passphrase_from
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

    def open_file(self) -> None:
        """Open the key store of an enrolled device if it is a file; a keyring is not touched.

        Raises PASSPHRASE_WRONG and its neighbours. At a terminal, the person is asked.
        """
        if self.has_identity() and self._key_file().exists():
            self.key_store().unlock()

    def identity_file(self) -> "IdentityFile":
        """Return the identity file. Finds the key store first; `has_identity` does not."""
        from agent.identity.identity import IdentityFile

        return IdentityFile(self._home.root, self.key_store())

    def has_identity(self) -> bool:
        """Whether an identity file exists, readable or not."""
        return self._home.identity.exists()

    def destroy_identity(self, *, may_prompt: bool = False) -> None:
        """Delete the identity and the key that opens it.

        A key store in a file holds nothing else, so it goes unopened. Raises a keyring's errors;
        then the ciphertext is gone, and a repetition deletes the keyring's part.
        """
        if self._key_file().exists():
            self._home.identity.unlink(missing_ok=True)
            self._key_file().unlink()
        elif self.has_identity():
            self.identity_file().destroy(may_prompt=may_prompt)

    def discard_identity(self) -> None:
        """Delete an identity that no server knows, even when its key store does not answer."""
        with suppress(AegisError):
            self.destroy_identity()
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

            return OsKeyStore(names=self._names)
        from agent.identity.file_keystore import FileKeyStore, credential
        from agent.identity.passphrase import Passphrase

        if kind == "credential":
            return FileKeyStore(self._key_file(), kind, lambda _: credential(self._environ))
        passphrase = Passphrase(self._passphrase_from, lambda secret: store.opens(secret))
        store = FileKeyStore(self._key_file(), kind, passphrase.ask, passphrase.ask_anew)
        return store

    def _key_file(self) -> Path:
        return self._home.root / "keystore.aead"

    def _names(self) -> tuple[str, ...]:
        """Return the name of this home's item in the keyring; none before there is an identity."""
        from agent.identity.sealed_identity import SealedIdentity

        try:
            return (SealedIdentity(self._home.identity, self.key_store()).installation_id(),)
        except AegisError:
            return ()
