"""One connection to the session bus, on which `secret_service` speaks to the Secret Service.

Here is the protocol only: each call has a deadline, and secrets are encrypted on their way where
the service can. Refusals leave as jeepney's DBusErrorResponse, a missed deadline as TimeoutError, a
broken connection as ConnectionError or EOFError.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from agent.identity import errors

if TYPE_CHECKING:
    from jeepney import Message
    from secretstorage.dhcrypto import Session

BUS_NAME = "org.freedesktop.secrets"
PREFIX = "org.freedesktop.Secret."
SERVICE_PATH = "/org/freedesktop/secrets"
NOTHING = "/"
"""The path that stands for no object."""
BUS_ERROR = "org.freedesktop.DBus.Error."
_ENCRYPTED, _PLAIN = "dh-ietf1024-sha256-aes128-cbc-pkcs7", "plain"
_BLOCK_BYTES = 16

Secret = tuple[str, bytes, bytes, str]
"""Session, initialisation vector, value, content type."""


class SecretServiceBus:
    """A connection of its own, because a service may remember what it allowed to a connection."""

    def __init__(self, deadline_s: float) -> None:
        from jeepney.io.blocking import open_dbus_connection

        try:
            self._connection = open_dbus_connection()
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise errors.keyring_absent(
                "No keyring service is running for this login.", f"{type(error).__name__}: {error}"
            ) from error
        self._deadline_s = deadline_s

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()

    def call(
        self, path: str, interface: str, method: str, signature: str = "", *body: Any
    ) -> tuple[Any, ...]:
        """Call a method of the service's interface `interface` ("Item", …); return the answer."""
        from jeepney import DBusAddress, new_method_call

        address = DBusAddress(path, BUS_NAME, PREFIX + interface)
        return self._send(new_method_call(address, method, signature or None, body))

    def read(self, path: str, interface: str, name: str) -> Any:
        """Return a property."""
        from jeepney import DBusAddress, Properties

        address = DBusAddress(path, BUS_NAME, PREFIX + interface)
        ((_, value),) = self._send(Properties(address).get(name))
        return value

    def secret(self, item: str) -> str:
        """Return an item's secret."""
        with self._session() as (path, session):
            (secret,) = self.call(item, "Item", "GetSecret", "o", path)
            return _opened(session, secret).decode()

    def set_secret(self, item: str, text: str) -> None:
        """Replace an item's secret."""
        with self._session() as (path, session):
            self.call(item, "Item", "SetSecret", "(oayays)", _sealed(session, path, text))

    def create_item(
        self, collection: str, label: str, attributes: dict[str, str], text: str
    ) -> None:
        """Make an item in an open collection.

        KeePassXC makes one only by way of a prompt object. It shows nothing for a new item in an
        open database.
        """
        properties = {
            f"{PREFIX}Item.Label": ("s", label),
            f"{PREFIX}Item.Attributes": ("a{ss}", attributes),
        }
        with self._session() as (path, session):
            item, prompt = self.call(
                collection,
                "Collection",
                "CreateItem",
                "a{sv}(oayays)b",
                properties,
                _sealed(session, path, text),
                True,
            )
            if item == NOTHING:
                self.prompt(prompt, self._deadline_s)

    def unlock(self, paths: Sequence[str], deadline_s: float) -> None:
        """Unlock collections or items; the service may raise its prompt."""
        _, prompt = self.call(SERVICE_PATH, "Service", "Unlock", "ao", list(paths))
        if prompt != NOTHING:
            self.prompt(prompt, deadline_s)

    def prompt(self, path: str, deadline_s: float) -> None:
        """Show a prompt and wait for the person.

        Raises UserActionError KEYRING_PROMPT_CLOSED or KEYRING_PROMPT_UNANSWERED.
        """
        from jeepney import DBusErrorResponse, MatchRule, message_bus

        rule = MatchRule(type="signal", interface=f"{PREFIX}Prompt", member="Completed", path=path)
        ends_at = time.monotonic() + deadline_s
        self._send(message_bus.AddMatch(rule))
        try:
            with self._connection.filter(rule) as signals:
                self.call(path, "Prompt", "Prompt", "s", "")
                left_s = max(0.0, ends_at - time.monotonic())
                answer = self._connection.recv_until_filtered(signals, timeout=left_s)
        except TimeoutError as error:
            self.dismiss(path)
            raise errors.keyring_prompt_unanswered(f"no answer within {deadline_s:g} s") from error
        finally:
            with suppress(DBusErrorResponse, OSError):
                self._send(message_bus.RemoveMatch(rule))
        if answer.body[0]:
            raise errors.keyring_prompt_closed(path)

    def dismiss(self, prompt: str) -> None:
        """Take a prompt back; a service that does not know it any more is no fault."""
        from jeepney import DBusErrorResponse

        with suppress(DBusErrorResponse, OSError):
            self.call(prompt, "Prompt", "Dismiss")

    def _send(self, message: "Message") -> tuple[Any, ...]:
        from jeepney import DBusErrorResponse, MessageType

        reply = self._connection.send_and_get_reply(message, timeout=self._deadline_s)
        if reply.header.message_type == MessageType.error:
            raise DBusErrorResponse(reply)
        return tuple(reply.body)

    @contextmanager
    def _session(self) -> "Iterator[tuple[str, Session]]":
        """Agree on a key for the secrets of one call."""
        from jeepney import DBusErrorResponse
        from secretstorage.dhcrypto import Session

        session = Session()
        public_key = session.my_public_key.to_bytes(128, "big")
        try:
            (_, answer), path = self._open_session(_ENCRYPTED, ("ay", public_key))
            session.set_server_public_key(int.from_bytes(answer, "big"))
        except DBusErrorResponse as error:
            if error.name != f"{BUS_ERROR}NotSupported":
                raise
            _, path = self._open_session(_PLAIN, ("s", ""))
            session.encrypted = False
        try:
            yield path, session
        finally:
            with suppress(DBusErrorResponse, OSError):
                self.call(path, "Session", "Close")

    def _open_session(self, algorithm: str, ours: tuple[str, Any]) -> tuple[Any, ...]:
        return self.call(SERVICE_PATH, "Service", "OpenSession", "sv", algorithm, ours)


def _sealed(session: "Session", path: str, text: str) -> Secret:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if not session.encrypted:
        return path, b"", text.encode(), "text/plain"
    value, vector = text.encode(), os.urandom(_BLOCK_BYTES)
    filler = _BLOCK_BYTES - len(value) % _BLOCK_BYTES
    cipher = Cipher(algorithms.AES(session.aes_key or b""), modes.CBC(vector)).encryptor()
    sealed = cipher.update(value + bytes([filler]) * filler) + cipher.finalize()
    return path, vector, sealed, "text/plain"


def _opened(session: "Session", secret: Secret) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    _, vector, value, _ = secret
    if not session.encrypted:
        return bytes(value)
    cipher = Cipher(algorithms.AES(session.aes_key or b""), modes.CBC(bytes(vector))).decryptor()
    padded: bytes = cipher.update(bytes(value)) + cipher.finalize()
    return padded[: -padded[-1]]
