"""A key store in an encrypted file, for machines without a keyring.

The file's key comes from a systemd credential or from a passphrase, by scrypt (RFC 7914). The file
is a 16-byte salt, a 12-byte nonce and AES-256-GCM over a JSON object.
"""

import base64
import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import OperatorActionError, UserActionError
from agent.files import atomic_file
from agent.identity.errors import keyring_denied
from agent.identity.keystore import KeyStoreFacts

CREDENTIAL_NAME = "aegisai-key"
"""The systemd credential's name (`LoadCredentialEncrypted=aegisai-key`)."""
MIN_CREDENTIAL_BYTES = 16
MAX_CREDENTIAL_BYTES = 4096
MAX_FILE_BYTES = 64 * 1024
_SALT_BYTES = 16
_NONCE_BYTES = 12
_ASSOCIATED = b"aegisai-keystore/1"


class FileKeyStore:
    """Secrets in one file that `secret()` opens.

    `kind` ("credential" or "passphrase") says where `secret` comes from. Methods also raise what
    `secret` raises.
    """

    def __init__(self, path: Path, kind: str, secret: Callable[[], bytes]) -> None:
        self._path = path
        self._kind = kind
        self._secret = secret

    def get(self, name: str) -> bytes | None:
        encoded = self._read().get(name)
        return None if encoded is None else base64.b64decode(encoded)

    def put(self, name: str, secret: bytes) -> None:
        self._write({**self._read(), name: base64.b64encode(secret).decode()})

    def delete(self, name: str) -> None:
        if not self._path.exists():
            return
        rest = {key: value for key, value in self._read().items() if key != name}
        if rest:
            self._write(rest)
        else:
            atomic_file.remove(self._path)

    def unlock(self) -> None:
        self._read()

    def describe(self) -> KeyStoreFacts:
        backend = f"encrypted file, key from a {self._kind}"
        try:
            self._read()
        except (UserActionError, OperatorActionError) as error:
            return KeyStoreFacts(self._kind, backend, usable=False, problem=error.code)
        return KeyStoreFacts(self._kind, backend, usable=True, problem="")

    def _read(self) -> dict[str, str]:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        secret = self._secret()
        try:
            content = atomic_file.read(self._path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return {}
        salt, rest = content[:_SALT_BYTES], content[_SALT_BYTES:]
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            secrets: dict[str, str] = json.loads(
                AESGCM(_file_key(secret, salt)).decrypt(nonce, sealed, _ASSOCIATED)
            )
        except (InvalidTag, ValueError) as error:
            raise keyring_denied(f"the {self._kind} does not open {self._path.name}") from error
        return secrets

    def _write(self, secrets: dict[str, str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        # A fresh salt gives a fresh key, so a nonce never meets the same key twice.
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        sealed = AESGCM(_file_key(self._secret(), salt)).encrypt(
            nonce, json.dumps(secrets).encode(), _ASSOCIATED
        )
        atomic_file.write(self._path, salt + nonce + sealed)


def terminal_passphrase() -> bytes:
    """Ask for the passphrase at the terminal. Raises UserActionError PASSPHRASE_MISSING."""
    if not sys.stdin.isatty():
        raise UserActionError(
            "PASSPHRASE_MISSING",
            "The key store's passphrase is needed.",
            "Start `aegis run` from a terminal and type it.",
        )
    return getpass.getpass("Passphrase of the key store: ").encode()


def credential(environ: Mapping[str, str]) -> bytes:
    """Read the service's systemd credential. Raises OperatorActionError CREDENTIAL_MISSING."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        path = Path(folder) / CREDENTIAL_NAME
        secret = atomic_file.read(path, MAX_CREDENTIAL_BYTES) if folder else b""
    except OSError:
        secret = b""
    if len(secret) < MIN_CREDENTIAL_BYTES:
        raise OperatorActionError(
            "CREDENTIAL_MISSING",
            f"The service has no credential named {CREDENTIAL_NAME} of at least"
            f" {MIN_CREDENTIAL_BYTES} bytes.",
            f"Add LoadCredentialEncrypted={CREDENTIAL_NAME} to the unit, or choose another key"
            " store.",
        )
    return secret


def _file_key(secret: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(secret)
