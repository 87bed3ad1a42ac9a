"""The identity as it lies on the disk: one encrypted file, opened by an item in the key store.

1. The file is AES-256-GCM with the installation id as associated data, mode 0600, written whole or
   not at all.
2. The key store's item holds the wrapping key and the fingerprints of the certificates that the
   file may carry, so an older copy of the file is detected. During a change it names the old and
   the new certificate, so the file opens whichever of them a crash leaves behind. It also notes
   that a ledger was sealed under this key, which nobody without the key store can take back.
3. A *remnant* is a file without contents: an interrupted `destroy`. It only says under which name
   the key store may still hold an item.
"""

import base64
import json
import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.errors import UserActionError
from agent.files import atomic_file
from agent.identity.device_certificate import fingerprint
from agent.identity.errors import identity_damaged, not_enrolled
from agent.identity.keystore import KeyStore
from agent.protocol.canonical import canonical

FORMAT = "aegisai-identity/1"
MAX_FILE_BYTES = 64 * 1024
_NONCE_BYTES = 12


@dataclass(frozen=True, repr=False)
class Contents:
    """The encrypted part of the file. "" stands for "not yet"."""

    key_pem: str
    next_key_pem: str = ""
    device_id: str = ""
    certificate_pem: str = ""
    erase_secret: str = ""
    signing_key: str = ""


@dataclass(frozen=True, repr=False)
class _Item:
    """What the key store holds."""

    key: bytes
    """The wrapping key."""
    certificates: tuple[str, ...] = ()
    """Fingerprints of the certificates that the file may carry."""
    has_sealed_ledger: bool = False

    def to_bytes(self) -> bytes:
        item: dict[str, Any] = {"key": self.key.hex(), "certificates": list(self.certificates)}
        # Left out until then: an older program reads the two other fields.
        return canonical({**item, "ledger": True} if self.has_sealed_ledger else item)


class SealedIdentity:
    """The file and its item in the key store.

    All methods but `exists`, `is_remnant` and `installation_id` may call the key store and raise
    its errors; call from an executor.
    """

    def __init__(self, path: Path, keystore: KeyStore) -> None:
        self._path = path
        self._keystore = keystore

    def exists(self) -> bool:
        """Whether there is a file, a remnant included."""
        return self._path.exists()

    def is_remnant(self) -> bool:
        """Whether a `destroy` was interrupted. Raises NOT_ENROLLED or IDENTITY_DAMAGED."""
        return not self._outer()["sealed"]

    def installation_id(self) -> str:
        """Return the random name of this installation. Raises NOT_ENROLLED or IDENTITY_DAMAGED."""
        return self._outer()["installation_id"]

    def wrapping_key(self) -> bytes:
        """Return the 32 bytes that only the key store holds."""
        return self._item(self.installation_id()).key

    def has_sealed_ledger(self) -> bool:
        """Whether a ledger was sealed under the wrapping key."""
        return self._item(self.installation_id()).has_sealed_ledger

    def note_sealed_ledger(self) -> None:
        """Note in the key store that a ledger was sealed under the wrapping key."""
        installation_id = self.installation_id()
        item = replace(self._item(installation_id), has_sealed_ledger=True)
        self._keystore.put(installation_id, item.to_bytes())

    def create(self, contents: Contents) -> None:
        """Write the first file, under a new installation id and wrapping key."""
        installation_id = uuid.uuid4().hex
        wrapping_key = os.urandom(32)
        # The remnant first: after a crash, `destroy` knows which item to remove.
        self.write_remnant(installation_id)
        self._keystore.put(installation_id, _Item(wrapping_key).to_bytes())
        self._write(installation_id, wrapping_key, contents)

    def read(self) -> Contents:
        """Decrypt the file. Raises UserActionError NOT_ENROLLED or IDENTITY_DAMAGED."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        outer = self._outer()
        if not outer["sealed"]:
            raise not_enrolled()
        installation_id = outer["installation_id"]
        item = self._item(installation_id)
        try:
            sealed = base64.b64decode(outer["sealed"], validate=True)
            contents = Contents(
                **json.loads(
                    AESGCM(item.key).decrypt(
                        sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(installation_id)
                    )
                )
            )
        except (InvalidTag, ValueError, TypeError) as error:
            raise identity_damaged(type(error).__name__) from error
        if (
            contents.certificate_pem
            and fingerprint(contents.certificate_pem) not in item.certificates
        ):
            raise identity_damaged("an older copy of the file")
        return contents

    def replace(self, old: Contents, new: Contents) -> None:
        """Write `new`; until the file is there, the item names both certificates (rule 2)."""
        installation_id = self.installation_id()
        item = self._item(installation_id)
        fingerprints = (fingerprint(old.certificate_pem), fingerprint(new.certificate_pem))
        changes = fingerprints[0] != fingerprints[1]
        if changes:
            both = replace(item, certificates=fingerprints)
            self._keystore.put(installation_id, both.to_bytes())
        self._write(installation_id, item.key, new)
        if changes:
            newest = replace(item, certificates=fingerprints[1:])
            self._keystore.put(installation_id, newest.to_bytes())

    def write_remnant(self, installation_id: str) -> None:
        """Overwrite the file with one that names the installation and nothing else."""
        self._write_outer(installation_id, b"")

    def destroy(self, *, may_prompt: bool = False) -> None:
        """Remove the ciphertext, then the item, then the file. Repeat until it does not raise."""
        if not self.exists():
            return
        try:
            installation_id = self.installation_id()
        except UserActionError:  # unreadable: no name is left for the key store's item
            atomic_file.remove(self._path)
            return
        try:
            self.write_remnant(installation_id)
        except OSError:  # a full disk
            atomic_file.remove(self._path)
        self._keystore.delete(installation_id, may_prompt=may_prompt)
        atomic_file.remove(self._path)

    def _write(self, installation_id: str, wrapping_key: bytes, contents: Contents) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(wrapping_key).encrypt(
            nonce, canonical(vars(contents)), _associated(installation_id)
        )
        self._write_outer(installation_id, sealed)

    def _write_outer(self, installation_id: str, sealed: bytes) -> None:
        outer = {
            "format": FORMAT,
            "installation_id": installation_id,
            "sealed": base64.b64encode(sealed).decode(),
        }
        atomic_file.write(self._path, canonical(outer))

    def _item(self, installation_id: str) -> _Item:
        item = self._keystore.get(installation_id)
        if item is None:
            raise identity_damaged("the key store has no key for it")
        try:
            value = json.loads(item)
            return _Item(
                bytes.fromhex(value["key"]),
                tuple(value["certificates"]),
                value.get("ledger") is True,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise identity_damaged("the key store's item is not ours") from error

    def _outer(self) -> dict[str, str]:
        try:
            outer: dict[str, Any] = json.loads(atomic_file.read(self._path, MAX_FILE_BYTES))
            fits = (
                set(outer) == {"format", "installation_id", "sealed"}
                and outer["format"] == FORMAT
                and uuid.UUID(outer["installation_id"]).hex == outer["installation_id"]
                and isinstance(outer["sealed"], str)
            )
        except FileNotFoundError as error:
            raise not_enrolled() from error
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise identity_damaged(type(error).__name__) from error
        if not fits:
            raise identity_damaged("unexpected fields")
        return outer


def _associated(installation_id: str) -> bytes:
    return canonical({"format": FORMAT, "installation_id": installation_id})
