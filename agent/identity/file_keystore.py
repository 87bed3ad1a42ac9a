"""A key store in an encrypted file, for machines without a keyring.

The file's key comes from a systemd credential or from a passphrase, by scrypt (RFC 7914). The file
is a line that names the format, a 16-byte salt, 16 bytes that tell a wrong secret from a damaged
file, a 12-byte nonce and AES-256-GCM over a JSON object. The first format was salt, nonce and
ciphertext; it is read and never written.
"""

import base64
import hmac
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AegisError, OperatorActionError, UserActionError
from agent.files import atomic_file
from agent.identity.errors import credential_wrong, key_store_damaged, passphrase_wrong
from agent.identity.keystore import KeyStoreFacts

CREDENTIAL_NAME = "aegisai-key"
"""The systemd credential's name (`LoadCredentialEncrypted=aegisai-key`)."""
MIN_CREDENTIAL_BYTES = 16
MAX_CREDENTIAL_BYTES = 4096
MAX_FILE_BYTES = 64 * 1024
_FORMAT = b"aegisai-keystore/2\n"
_SALT_BYTES = 16
_CHECK_BYTES = 16
_NONCE_BYTES = 12
_TAG_BYTES = 16
_ASSOCIATED = b"aegisai-keystore/1"


@dataclass(frozen=True, repr=False)
class _Derived:
    """What scrypt makes of the secret and one salt."""

    salt: bytes
    key: bytes
    check: bytes


class FileKeyStore:
    """Secrets in one file that `secret(is_new)` opens.

    `kind` ("credential" or "passphrase") says where `secret` comes from; `is_new` says that there
    is no file yet. A secret that was wrong once is refused again without scrypt, until file or
    secret change.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        secret: Callable[[bool], bytes],
        ask_anew: Callable[[], None] = lambda: None,
    ) -> None:
        """`ask_anew` makes `secret` forget an answer that was wrong."""
        self._path = path
        self._kind = kind
        self._secret = secret
        self._ask_anew = ask_anew
        self._refused: tuple[bytes, bytes] | None = None

    def get(self, name: str) -> bytes | None:
        encoded = self._read().get(name)
        return None if encoded is None else base64.b64decode(encoded)

    def put(self, name: str, secret: bytes) -> None:
        self._write({**self._read(), name: base64.b64encode(secret).decode()})

    def delete(self, name: str, *, may_prompt: bool = False) -> None:  # noqa: ARG002 - protocol
        if not self._path.exists():
            return
        rest = {key: value for key, value in self._read().items() if key != name}
        if rest:
            self._write(rest)
        else:
            atomic_file.remove(self._path)

    def unlock(self) -> None:
        self._ask_anew()
        self._read()

    def describe(self) -> KeyStoreFacts:
        backend = f"encrypted file, key from a {self._kind}"
        if self._kind == "passphrase" and not self._path.exists():
            return KeyStoreFacts(self._kind, backend)  # one is chosen when the file is made
        try:
            self._read()
        except (UserActionError, OperatorActionError) as error:
            return KeyStoreFacts(self._kind, backend, problem=error)
        return KeyStoreFacts(self._kind, backend)

    def opens(self, secret: bytes) -> bool:
        """Whether `secret` opens the file. Raises UserActionError KEY_STORE_DAMAGED."""
        try:
            self._decrypted(secret)
        except AegisError as error:
            if error.code in ("PASSPHRASE_WRONG", "CREDENTIAL_WRONG"):
                return False
            raise
        return True

    def _read(self) -> dict[str, str]:
        return self._decrypted(self._secret(not self._path.exists()))

    def _decrypted(self, secret: bytes) -> dict[str, str]:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            content = atomic_file.read(self._path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return {}
        if self._refused == (content, secret):
            raise self._wrong()
        has_check = content.startswith(_FORMAT)
        rest = content.removeprefix(_FORMAT)
        salt, rest = rest[:_SALT_BYTES], rest[_SALT_BYTES:]
        check, rest = (rest[:_CHECK_BYTES], rest[_CHECK_BYTES:]) if has_check else (b"", rest)
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        if len(sealed) < _TAG_BYTES:
            raise key_store_damaged("it is cut short")
        derived = _derived(secret, salt)
        if has_check and not hmac.compare_digest(check, derived.check):
            self._refused = (content, secret)
            raise self._wrong()
        try:
            secrets: dict[str, str] = json.loads(
                AESGCM(derived.key).decrypt(nonce, sealed, _ASSOCIATED)
            )
        except (InvalidTag, ValueError) as error:
            if has_check:
                raise key_store_damaged(type(error).__name__) from error
            self._refused = (content, secret)
            raise self._wrong() from error
        return secrets

    def _write(self, secrets: dict[str, str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        # A fresh salt gives a fresh key, so a nonce never meets the same key twice.
        derived = _derived(self._secret(not self._path.exists()), os.urandom(_SALT_BYTES))
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(derived.key).encrypt(nonce, json.dumps(secrets).encode(), _ASSOCIATED)
        atomic_file.write(self._path, _FORMAT + derived.salt + derived.check + nonce + sealed)

    def _wrong(self) -> AegisError:
        return credential_wrong() if self._kind == "credential" else passphrase_wrong()


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


def _derived(secret: bytes, salt: bytes) -> _Derived:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    # The first 32 bytes are those of the first format.
    both = Scrypt(salt=salt, length=32 + _CHECK_BYTES, n=2**15, r=8, p=1).derive(secret)
    return _Derived(salt, both[:32], both[32:])
