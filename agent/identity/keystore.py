"""Where the one secret that opens the identity file is kept: the operating system's keyring, or
what an administrator chose instead.

1. Only backends on the allow-list are used; null, plain-text and unknown ones are refused by name,
   also when the environment or a configuration file asks for them.
2. `get`, `put` and `delete` never raise a prompt; only `unlock` may, and only a button that the
   person pressed calls it. (On macOS the system itself may ask when the program's signature has
   changed.)
3. Every call has a deadline and runs in a thread of its own. Call from an executor, never on the
   event loop.
4. A locked, absent, full or refusing keyring is told apart; none of them means that the identity is
   lost.

KWallet and libsecret are reached through the Secret Service: their own backends could raise a
prompt unasked.
"""

import base64
import functools
import getpass
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent import atomic_file
from agent.errors import OperatorActionError, UserActionError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

CALL_DEADLINE_S = 10.0
UNLOCK_DEADLINE_S = 120.0
MAX_UTF16_BYTES = 2560
"""What the Windows Credential Manager holds; the same bound everywhere keeps the item small."""
SERVICE = "AegisAI"
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - the name of a class
ALLOWED_BACKENDS = frozenset(
    {SECRET_SERVICE, "keyring.backends.macOS.Keyring", "keyring.backends.Windows.WinVaultKeyring"}
)
CREDENTIAL_NAME = "aegisai-key"
"""Name of the systemd credential (`LoadCredentialEncrypted=aegisai-key`)."""

T = TypeVar("T")


@dataclass(frozen=True)
class KeyStoreFacts:
    """What `doctor` shows."""

    kind: str
    """"os", "credential", "passphrase" or "memory"."""
    backend: str
    usable: bool
    problem: str
    """Code of the error when it is not usable, else ""."""


class KeyStore(Protocol):
    """Small secrets by name.

    All methods but `describe` raise UserActionError KEYRING_LOCKED, KEYRING_ABSENT, KEYRING_DENIED
    or KEYRING_TOO_LARGE.
    """

    def get(self, name: str) -> bytes | None: ...

    def put(self, name: str, secret: bytes) -> None: ...

    def delete(self, name: str) -> None:
        """Remove the secret; removing what is not there is fine."""

    def unlock(self) -> None:
        """Let the person open it; the only call that may raise a prompt."""

    def describe(self) -> KeyStoreFacts: ...


class MemoryKeyStore:
    """Forgets everything with the process. For homes that a demonstration made, and for tests."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self._secrets.get(name)

    def put(self, name: str, secret: bytes) -> None:
        self._secrets[name] = secret

    def delete(self, name: str) -> None:
        self._secrets.pop(name, None)

    def unlock(self) -> None:
        """Nothing to open."""

    def describe(self) -> KeyStoreFacts:
        return KeyStoreFacts("memory", "memory of this process", usable=True, problem="")


class OsKeyStore:
    """The operating system's keyring."""

    def __init__(
        self,
        load_backend: "Callable[[], KeyringBackend] | None" = None,
        deadline_s: float = CALL_DEADLINE_S,
    ) -> None:
        self._load_backend = load_backend or _configured_backend
        self._deadline_s = deadline_s
        self._stuck: threading.Thread | None = None
        self._backend = "none"

    def get(self, name: str) -> bytes | None:
        text = self._call(lambda keyring: keyring.get_password(SERVICE, name))
        if text is None:
            return None
        try:
            return base64.b64decode(text, validate=True)
        except ValueError as error:
            raise _denied("the item is not base64") from error

    def put(self, name: str, secret: bytes) -> None:
        text = base64.b64encode(secret).decode()
        size = len(text.encode("utf-16-le"))
        if size > MAX_UTF16_BYTES:
            raise UserActionError(
                "KEYRING_TOO_LARGE",
                "The keyring cannot hold a secret of this size.",
                "Report this.",
                f"{size} > {MAX_UTF16_BYTES}",
            )
        self._call(lambda keyring: keyring.set_password(SERVICE, name, text))

    def delete(self, name: str) -> None:
        def remove(keyring: "KeyringBackend") -> None:
            if keyring.get_password(SERVICE, name) is not None:
                keyring.delete_password(SERVICE, name)

        self._call(remove)

    def unlock(self) -> None:
        def prompt(keyring: "KeyringBackend") -> None:
            if _class_name(keyring) == SECRET_SERVICE:
                _secret_service_unlock()

        self._call(prompt, prompts=True)

    def describe(self) -> KeyStoreFacts:
        try:
            self._call(lambda _: None)
        except UserActionError as error:
            return KeyStoreFacts("os", self._backend, usable=False, problem=error.code)
        return KeyStoreFacts("os", self._backend, usable=True, problem="")

    def _call(self, use: "Callable[[KeyringBackend], T]", *, prompts: bool = False) -> T:
        if self._stuck is not None and self._stuck.is_alive():
            raise _locked("an earlier call has not come back")

        def whole() -> T:
            self._backend = "none"
            keyring = self._load_backend()
            self._backend = _class_name(keyring)
            if self._backend not in ALLOWED_BACKENDS:
                raise _absent(
                    f"The keyring backend {self._backend} is not known to protect secrets; it is"
                    " refused."
                )
            if not prompts and self._backend == SECRET_SERVICE:
                _secret_service_must_be_open()
            return use(keyring)

        return self._in_time(
            UNLOCK_DEADLINE_S if prompts else self._deadline_s, lambda: _translated(whole)
        )

    def _in_time(self, deadline_s: float, call: Callable[[], T]) -> T:
        """Run `call` in a thread.

        At the deadline that thread is left to itself, and no other is started before it has come
        back.
        """
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(call())
            except BaseException as error:  # crosses to the caller's thread
                outcome.set_exception(error)

        thread = threading.Thread(target=run, name="keyring", daemon=True)
        thread.start()
        try:
            return outcome.result(deadline_s)
        except FutureTimeout:
            self._stuck = thread
            raise _locked(f"no answer within {deadline_s:g} s") from None


class FileKeyStore:
    """For machines without a keyring, chosen explicitly: secrets in a file, encrypted under a key
    that comes from elsewhere.

    `secret` gives the systemd credential's bytes or the person's passphrase; the file's key is
    derived from it by scrypt.
    """

    def __init__(self, path: Path, kind: str, secret: Callable[[], bytes]) -> None:
        self._path = path
        self._kind = kind
        self._secret = secret

    def get(self, name: str) -> bytes | None:
        held = self._read().get(name)
        return None if held is None else base64.b64decode(held)

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
            whole = atomic_file.read(self._path, 64 * 1024)
        except FileNotFoundError:
            return {}
        salt, nonce, sealed = whole[:16], whole[16:28], whole[28:]
        try:
            held: dict[str, str] = json.loads(
                AESGCM(_file_key(secret, salt)).decrypt(nonce, sealed, b"aegisai-keystore/1")
            )
        except (InvalidTag, ValueError) as error:
            raise _denied(f"the {self._kind} does not open {self._path.name}") from error
        return held

    def _write(self, held: dict[str, str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        salt, nonce = os.urandom(16), os.urandom(12)
        sealed = AESGCM(_file_key(self._secret(), salt)).encrypt(
            nonce, json.dumps(held).encode(), b"aegisai-keystore/1"
        )
        atomic_file.write(self._path, salt + nonce + sealed)


def chosen(kind: str, home: Path, environ: Mapping[str, str]) -> KeyStore:
    """The key store that the setting `key_store` names: "os", "credential" or "passphrase".

    Asks nobody yet.
    """
    path = home / "keystore.aead"
    if kind == "credential":
        return FileKeyStore(path, kind, lambda: credential(environ))
    if kind == "passphrase":
        return FileKeyStore(path, kind, functools.cache(terminal_passphrase))
    return OsKeyStore()


def terminal_passphrase() -> bytes:
    """Ask at the terminal. Raises UserActionError PASSPHRASE_MISSING where there is none."""
    if not sys.stdin.isatty():
        raise UserActionError(
            "PASSPHRASE_MISSING",
            "The key store's passphrase is needed.",
            "Start `aegis run` from a terminal and type it.",
        )
    return getpass.getpass("Passphrase of the key store: ").encode()


def credential(environ: Mapping[str, str]) -> bytes:
    """The systemd credential of this service. Raises OperatorActionError CREDENTIAL_MISSING."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        secret = atomic_file.read(Path(folder) / CREDENTIAL_NAME, 4096) if folder else b""
    except OSError:
        secret = b""
    if len(secret) < 16:
        raise OperatorActionError(
            "CREDENTIAL_MISSING",
            f"The service was given no credential named {CREDENTIAL_NAME} of at least 16 bytes.",
            f"Add LoadCredentialEncrypted={CREDENTIAL_NAME} to the unit, or choose another key"
            " store.",
        )
    return secret


def _file_key(secret: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(secret)


def _class_name(keyring: object) -> str:
    return f"{type(keyring).__module__}.{type(keyring).__qualname__}"


def _configured_backend() -> "KeyringBackend":
    """The backend that the environment or keyringrc.cfg names, else the platform's own.

    keyring's automatic choice is not used: it takes any plug-in with a higher priority, and
    remembers that a service was absent.
    """
    from keyring import core

    chosen = core.load_env() or core.load_config()
    if chosen is not None:
        return chosen
    kind: Any
    if sys.platform == "darwin":
        from keyring.backends.macOS import Keyring as kind
    elif sys.platform == "win32":
        from keyring.backends.Windows import WinVaultKeyring as kind
    else:
        from keyring.backends.SecretService import Keyring as kind
    if not kind.viable:
        raise _absent("No keyring service is running for this login.")
    return kind()  # type: ignore[no-any-return]


def _secret_service_must_be_open() -> None:
    """Ask whether the default collection is locked: any other call would raise a prompt and wait
    for it.
    """
    import secretstorage
    from secretstorage.exceptions import ItemNotFoundException

    with closing(secretstorage.dbus_init()) as bus:
        try:
            collection = secretstorage.Collection(bus)
        except ItemNotFoundException as error:
            raise _absent("This login has no default keyring yet.") from error
        if collection.is_locked():
            raise _locked("the collection is locked")


def _secret_service_unlock() -> None:
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        if collection.is_locked():
            collection.unlock()
        if collection.is_locked():
            raise _locked("the prompt was closed")


def _translated(call: Callable[[], T]) -> T:
    """Run `call` with the errors of keyring and its backends as ours."""
    from keyring.errors import InitError, KeyringLocked, NoKeyringError

    try:
        return call()
    except KeyringLocked as error:
        raise _locked(str(error)) from error
    except (NoKeyringError, InitError) as error:
        raise _absent("No usable keyring was found.", str(error)) from error
    except _backend_errors() as error:
        raise _denied(f"{type(error).__name__}: {error}") from error


def _backend_errors() -> tuple[type[Exception], ...]:
    """What a backend may let through of its own libraries."""
    from keyring.errors import KeyringError

    errors: tuple[type[Exception], ...] = (
        KeyringError,
        RuntimeError,
        OSError,
        EOFError,
        ImportError,
        AttributeError,
        ValueError,
    )
    if "secretstorage" in sys.modules:
        from jeepney import DBusErrorResponse
        from secretstorage.exceptions import SecretStorageException

        errors += (SecretStorageException, DBusErrorResponse)
    return errors


def _locked(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_LOCKED",
        "The keyring is locked.",
        "Unlock it (log in, or press Unlock); AegisAI then goes on by itself.",
        detail,
    )


def _absent(message: str, detail: str = "") -> UserActionError:
    remedy = (
        "Start a keyring service (GNOME Keyring, KWallet), or choose key_store = credential or"
        " passphrase in the settings."
    )
    return UserActionError("KEYRING_ABSENT", message, remedy, detail)


def _denied(detail: str) -> UserActionError:
    return UserActionError(
        "KEYRING_DENIED",
        "The keyring refused.",
        "Allow AegisAI to use its entry in the keyring, then try again.",
        detail,
    )
