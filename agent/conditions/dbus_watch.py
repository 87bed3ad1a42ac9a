"""Keeps the properties of D-Bus objects up to date by signals, without asking twice.

A service that is missing is an unknown reading with its reason. No service is ever started for us
(NO_AUTOSTART), and a missing one is not asked again before the bus announces it.
"""

import asyncio
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

CALL_S = 5.0
"""A desktop service answers within milliseconds; one that takes longer hangs."""
PROPERTIES = "org.freedesktop.DBus.Properties"
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_NOT_RUNNING = ("ServiceUnknown", "NameHasNoOwner")
_BUS_ERRORS = (OSError, EOFError, ValueError, TypeError, LookupError, struct.error, DBusFastError)
"""A missing or broken connection, a time-out, a malformed reply. A missing library is none of
these: an installation without it fails instead of quietly knowing less.
"""


@dataclass
class WatchedObject:
    """An object on the bus and its last known properties; None while its service is missing."""

    service: str
    path: str
    interface: str
    properties: dict[str, Any] | None = None
    why: str = "not read yet"
    """Why there are no properties."""


class DBusWatch:
    """One connection to a bus. No method raises: what is missing stays unknown, with its reason."""

    def __init__(self, address: str, changed: Callable[[], None]) -> None:
        """`changed` is called after a signal that concerns a watched object or a subscription."""
        self._address = address
        self._changed = changed
        self._bus: MessageBus | None = None
        self._objects: list[WatchedObject] = []
        self._subscriptions: dict[tuple[str, str], Callable[[list[Any]], None]] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self.why = ""
        """Why there is no connection."""

    async def open(self) -> bool:
        """Connect. False: there is no such bus."""
        try:
            async with asyncio.timeout(CALL_S):
                self._bus = await MessageBus(bus_address=self._address).connect()
        except _BUS_ERRORS as error:
            self.why = f"no bus: {type(error).__name__}"
            return False
        self._bus.add_message_handler(self._on_message)
        await self._match("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'")
        return True

    def close(self) -> None:
        bus, self._bus = self._bus, None
        for task in self._tasks:
            task.cancel()
        if bus is not None:
            bus.disconnect()

    async def watch(self, watched: WatchedObject) -> None:
        """Read all properties of an object and keep them up to date."""
        self._objects.append(watched)
        await self._match(
            f"type='signal',path='{watched.path}',interface='{PROPERTIES}',member='PropertiesChanged'"
        )
        await self._refresh(watched)

    async def subscribe(
        self, interface: str, member: str, handler: Callable[[list[Any]], None]
    ) -> None:
        """Call `handler` with the body of every such signal."""
        self._subscriptions[interface, member] = handler
        await self._match(f"type='signal',interface='{interface}',member='{member}'")

    async def call(
        self, service: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> tuple[list[Any] | None, str]:
        """Call a method. Return the reply's body, or None and why there is no reply."""
        if self._bus is None:
            return None, self.why
        message = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NO_AUTOSTART,
        )
        try:
            async with asyncio.timeout(CALL_S):
                reply = await self._bus.call(message)
        except _BUS_ERRORS as error:
            return None, f"{service}: {type(error).__name__}"
        if reply.message_type is MessageType.METHOD_RETURN:
            return list(reply.body), ""
        error_name = str(reply.error_name)
        if error_name.endswith(_NOT_RUNNING):
            return None, f"{service} is not running"
        return None, f"{service}: {error_name}"

    def start(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine from a signal handler, which cannot await it; `close` cancels it."""
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _match(self, rule: str) -> None:
        await self.call(*_BUS, "AddMatch", "s", rule)

    async def _refresh(self, watched: WatchedObject) -> None:
        body, why = await self.call(
            watched.service, watched.path, PROPERTIES, "GetAll", "s", watched.interface
        )
        watched.properties, watched.why = (None, why) if body is None else (_plain(body[0]), "")

    async def _refresh_and_report(self, watched: WatchedObject) -> None:
        await self._refresh(watched)
        self._changed()

    def _on_message(self, message: Message) -> None:
        """Handle every incoming message; only signals matter."""
        if message.message_type is not MessageType.SIGNAL or self._bus is None:
            return
        if message.member == "NameOwnerChanged":
            self._on_owner_change(message)
        elif message.member == "PropertiesChanged" and message.interface == PROPERTIES:
            self._on_properties_change(message)
        elif handler := self._subscriptions.get((message.interface or "", message.member or "")):
            handler(message.body)
            self._changed()

    def _on_owner_change(self, message: Message) -> None:
        """A service appeared or disappeared: read it anew, or learn why that fails."""
        for watched in self._objects:
            if message.body and message.body[0] == watched.service:
                self.start(self._refresh_and_report(watched))

    def _on_properties_change(self, message: Message) -> None:
        for watched in self._objects:
            if message.path != watched.path or message.body[0] != watched.interface:
                continue
            # The third part names properties whose new value the signal does not carry.
            if watched.properties is None or message.body[2]:
                self.start(self._refresh_and_report(watched))
            else:
                watched.properties.update(_plain(message.body[1]))
                self._changed()


def plain_value(variant: Any) -> Any:
    """Return the content of a D-Bus variant."""
    with suppress(AttributeError):
        return variant.value
    return variant


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain_value(variant) for name, variant in properties.items()}
