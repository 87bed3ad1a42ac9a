"""The operating system's keyring as a key store.

1. Only backends on the allow-list are used. Null, plain-text and unknown ones are refused by name,
   even when the environment or a configuration file names them.
2. Each call has a deadline and runs in a thread of its own. One thread at most can hang: until it
   returns, every call fails as locked.

KWallet and libsecret are reached through the Secret Service, because their own backends could
raise a prompt that nobody asked for.
"""

import base64
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar

from agent.errors import UserActionError
from agent.identity import secret_service
from agent.identity.errors import keyring_absent, keyring_denied, keyring_locked
from agent.identity.keystore import KeyStoreFacts

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

CALL_DEADLINE_S = 10.0
UNLOCK_DEADLINE_S = 120.0
"""A person needs time to type a password."""
MAX_UTF16_BYTES = 2560
"""The Windows Credential Manager's bound; the same bound everywhere keeps the item small."""
SERVICE = "AegisAI"
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - the name of a class
ALLOWED_BACKENDS = frozenset(
    {SECRET_SERVICE, "keyring.backends.macOS.Keyring", "keyring.backends.Windows.WinVaultKeyring"}
)

T = TypeVar("T")


class OsKeyStore:
    """Secrets in the keyring of this login."""

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
            raise keyring_denied("the item is not base64") from error

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
                secret_service.unlock()

        self._call(prompt, prompts=True)

    def describe(self) -> KeyStoreFacts:
        try:
            self._call(lambda _: None)
        except UserActionError as error:
            return KeyStoreFacts("os", self._backend, usable=False, problem=error.code)
        return KeyStoreFacts("os", self._backend, usable=True, problem="")

    def _call(self, use: "Callable[[KeyringBackend], T]", *, prompts: bool = False) -> T:
        """Open the backend and `use` it, within the deadline and with our errors."""
        if self._stuck is not None and self._stuck.is_alive():
            raise keyring_locked("an earlier call has not returned")

        def whole() -> T:
            self._backend = "none"
            keyring = self._load_backend()
            self._backend = _class_name(keyring)
            if self._backend not in ALLOWED_BACKENDS:
                raise keyring_absent(
                    f"AegisAI refuses the keyring backend {self._backend}: it is not known to"
                    " protect secrets."
                )
            if not prompts and self._backend == SECRET_SERVICE:
                secret_service.check_open()
            return use(keyring)

        return self._in_time(
            UNLOCK_DEADLINE_S if prompts else self._deadline_s, lambda: _translated(whole)
        )

    def _in_time(self, deadline_s: float, call: Callable[[], T]) -> T:
        """Run `call` in a thread; at the deadline, leave that thread to itself and raise.

        A thread cannot be stopped from outside, so `_call` starts no other one before it returns.
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
            raise keyring_locked(f"no answer within {deadline_s:g} s") from None


def _class_name(keyring: object) -> str:
    return f"{type(keyring).__module__}.{type(keyring).__qualname__}"


def _configured_backend() -> "KeyringBackend":
    """Return the backend that the environment or keyringrc.cfg names, else the platform's own.

    keyring's automatic choice is not used: it prefers any plug-in with a higher priority, and it
    remembers for the process's life that a service was absent.
    """
    from keyring import core

    configured = core.load_env() or core.load_config()
    if configured is not None:
        return configured
    kind: Any  # one of three classes, of which each platform has one
    if sys.platform == "darwin":
        from keyring.backends.macOS import Keyring as kind
    elif sys.platform == "win32":
        from keyring.backends.Windows import WinVaultKeyring as kind
    else:
        from keyring.backends.SecretService import Keyring as kind
    if not kind.viable:
        raise keyring_absent("No keyring service is running for this login.")
    return kind()  # type: ignore[no-any-return]


def _translated(call: Callable[[], T]) -> T:
    """Run `call`; turn the errors of keyring and its backends into ours."""
    from keyring.errors import InitError, KeyringLocked, NoKeyringError

    try:
        return call()
    except KeyringLocked as error:
        raise keyring_locked(str(error)) from error
    except (NoKeyringError, InitError) as error:
        raise keyring_absent("No usable keyring was found.", str(error)) from error
    except _backend_errors() as error:
        raise keyring_denied(f"{type(error).__name__}: {error}") from error


def _backend_errors() -> tuple[type[Exception], ...]:
    """List what a backend may let through, its own libraries' errors included."""
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
    if "secretstorage" in sys.modules:  # only a Linux login has it
        from jeepney import DBusErrorResponse
        from secretstorage.exceptions import SecretStorageException

        errors += (SecretStorageException, DBusErrorResponse)
    return errors
