"""The operating system's keyring as a key store.

1. Only backends on the allow-list are used. Null, plain-text and unknown ones are refused by name,
   even when the environment or a configuration file names them.
2. Each call has a deadline and runs in a thread of its own, one at a time. One thread at most can
   hang: until it returns, every other call fails at once.
3. On Linux, `secret_service` does the work. The backends of the package keyring could raise a
   prompt that nobody asked for.
"""

import base64
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar

from agent.errors import UserActionError
from agent.identity.errors import (
    keyring_absent,
    keyring_denied,
    keyring_locked,
    keyring_prompt_open,
    keyring_timeout,
)
from agent.identity.keystore import KeyStoreFacts
from agent.identity.secret_service import Deadlines, SecretService

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

MAX_UTF16_BYTES = 2560
"""The Windows Credential Manager's bound; the same bound everywhere keeps the item small."""
SERVICE = "AegisAI"
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - the name of a class
ALLOWED_BACKENDS = frozenset(
    {SECRET_SERVICE, "keyring.backends.macOS.Keyring", "keyring.backends.Windows.WinVaultKeyring"}
)

T = TypeVar("T")


class OsKeyStore:
    """Secrets in the keyring of this login.

    `names` returns the items that this home has; `unlock` and `describe` are about these. Where it
    returns none, they are about every item of this program.
    """

    def __init__(
        self,
        load_backend: "Callable[[], KeyringBackend] | None" = None,
        deadlines: Deadlines | None = None,
        names: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._load_backend = load_backend or _configured_backend
        self._deadlines = deadlines or Deadlines()
        self._names = names
        self._service = SecretService(SERVICE, self._deadlines)
        self._turn = threading.Lock()
        self._is_late = False
        self._is_prompting = False
        self._backend = "none"

    def get(self, name: str) -> bytes | None:
        text = self._call(
            lambda keyring: (
                self._service.get(name)
                if _is_secret_service(keyring)
                else keyring.get_password(SERVICE, name)
            )
        )
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
        self._call(
            lambda keyring: (
                self._service.put(name, text)
                if _is_secret_service(keyring)
                else keyring.set_password(SERVICE, name, text)
            )
        )

    def delete(self, name: str, *, may_prompt: bool = False) -> None:
        def remove(keyring: "KeyringBackend") -> None:
            if _is_secret_service(keyring):
                self._service.delete(name, may_prompt=may_prompt)
            elif keyring.get_password(SERVICE, name) is not None:
                keyring.delete_password(SERVICE, name)

        self._call(remove, prompts=may_prompt)

    def unlock(self) -> None:
        def prompt(keyring: "KeyringBackend") -> None:
            if _is_secret_service(keyring):
                self._service.unlock(self._names())

        self._call(prompt, prompts=True)

    def describe(self) -> KeyStoreFacts:
        def check(keyring: "KeyringBackend") -> None:
            if _is_secret_service(keyring):
                self._service.check(self._names())

        try:
            self._call(check)
        except UserActionError as error:
            return KeyStoreFacts("os", self._backend, problem=error)
        return KeyStoreFacts("os", self._backend)

    def close(self) -> None:
        """Give up the connection to the keyring, and with it what the keyring allowed to it."""
        self._service.close()

    def _call(self, use: "Callable[[KeyringBackend], T]", *, prompts: bool = False) -> T:
        """Open the backend and `use` it, within the deadline and with our errors."""

        def whole() -> T:
            self._backend = "none"
            keyring = self._load_backend()
            self._backend = _class_name(keyring)
            if self._backend not in ALLOWED_BACKENDS:
                raise keyring_absent(
                    f"AegisAI refuses the keyring backend {self._backend}: it is not known to"
                    " protect secrets."
                )
            return use(keyring)

        self._take_turn()
        self._is_prompting = prompts
        limits = self._deadlines
        deadline_s = limits.create_s + limits.unlock_s if prompts else limits.call_s
        return self._in_time(deadline_s, lambda: _translated(whole))

    def _take_turn(self) -> None:
        """Wait for another call, unless that waits for a person or is late already."""
        wait_s = 0 if self._is_late or self._is_prompting else self._deadlines.call_s
        if self._turn.acquire(timeout=wait_s):
            return
        if self._is_prompting:
            raise keyring_prompt_open("another call waits for its answer")
        raise keyring_timeout("an earlier call has not returned")

    def _in_time(self, deadline_s: float, call: Callable[[], T]) -> T:
        """Run `call` in a thread; at the deadline, leave that thread to itself and raise.

        A thread cannot be stopped from outside. It keeps the turn until it ends.
        """
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(call())
            except BaseException as error:  # crosses to the caller's thread
                outcome.set_exception(error)
            finally:
                self._is_late = self._is_prompting = False
                self._turn.release()

        threading.Thread(target=run, name="keyring", daemon=True).start()
        try:
            return outcome.result(deadline_s)
        except FutureTimeout:
            self._is_late = not outcome.done()
            raise keyring_timeout(f"no answer within {deadline_s:g} s") from None


def _is_secret_service(keyring: object) -> bool:
    return _class_name(keyring) == SECRET_SERVICE


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
    is_linux = sys.platform not in ("darwin", "win32")
    if sys.platform == "darwin":
        from keyring.backends.macOS import Keyring as kind
    elif sys.platform == "win32":
        from keyring.backends.Windows import WinVaultKeyring as kind
    else:
        from keyring.backends.SecretService import Keyring as kind
    # Whether the service runs on Linux, `secret_service` finds out within the deadline.
    if not is_linux and not kind.viable:
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

    return (
        KeyringError,
        RuntimeError,
        OSError,
        EOFError,
        ImportError,
        AttributeError,
        ValueError,
    )
