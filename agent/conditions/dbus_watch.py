"""What a Linux desktop says over D-Bus: its power, its session, its network, its sleep and its idle
time, each with a signal.

Names and values as their services document them: org.freedesktop.UPower (OnBattery),
org.freedesktop.login1 (sessions, PrepareForSleep), org.freedesktop.NetworkManager (NMMetered,
NMState), org.gnome.Mutter.IdleMonitor. A service that is not there is an unknown reading; nothing
is ever started for us (NO_AUTOSTART) and nothing is asked again before the bus or the service
itself says something.
"""

import asyncio
import os
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from agent.conditions.readings import Reading, Told, unknown

CALL_S = 5.0
_BUS_ERRORS = (OSError, EOFError, ValueError, TypeError, LookupError, struct.error, DBusFastError)
"""A missing or broken connection, a time-out, a malformed answer. A missing library is none of
these: an installation without it fails, it does not quietly know less.
"""
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
PROPERTIES = "org.freedesktop.DBus.Properties"
LOGIN = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
SESSION = "org.freedesktop.login1.Session"
NETWORK = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
)
POWER = ("org.freedesktop.UPower", "/org/freedesktop/UPower", "org.freedesktop.UPower")
IDLE = (
    "org.gnome.Mutter.IdleMonitor",
    "/org/gnome/Mutter/IdleMonitor/Core",
    "org.gnome.Mutter.IdleMonitor",
)
SCREEN_SAVER = ("org.freedesktop.ScreenSaver", "/ScreenSaver", "org.freedesktop.ScreenSaver")
_METERED = {1: True, 2: False, 3: True, 4: False}
"""NMMetered: yes, no, guessed yes, guessed no."""
_OFFLINE_STATES = {10: "asleep", 20: "disconnected", 30: "disconnecting", 40: "connecting"}
"""NMState below "connected to something"."""


@dataclass
class _Service:
    """One object that is watched: where it is, and its properties as told last; None while it is
    not there.
    """

    name: str
    path: str
    interface: str
    properties: dict[str, Any] | None = None
    why: str = "not asked yet"


class Bus:
    """One connection. Never raises: what is missing stays unknown, with the reason."""

    def __init__(self, address: str, changed: Callable[[], None]) -> None:
        self._address = address
        self._changed = changed
        self._bus: MessageBus | None = None
        self._services: list[_Service] = []
        self._signals: dict[tuple[str, str], Callable[[list[Any]], None]] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self.why = ""
        """Why there is no connection."""

    async def open(self) -> bool:
        """Connect; False when there is no such bus."""
        try:
            async with asyncio.timeout(CALL_S):
                self._bus = await MessageBus(bus_address=self._address).connect()
        except _BUS_ERRORS as error:
            self.why = f"no bus: {type(error).__name__}"
            return False
        self._bus.add_message_handler(self._heard)
        await self._match("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'")
        return True

    def close(self) -> None:
        bus, self._bus = self._bus, None
        for task in self._tasks:
            task.cancel()
        if bus is not None:
            bus.disconnect()

    async def watch(self, service: _Service) -> None:
        """Read all properties and keep them up to date by signals."""
        self._services.append(service)
        await self._match(
            f"type='signal',path='{service.path}',interface='{PROPERTIES}',member='PropertiesChanged'"
        )
        await self._refresh(service)

    async def listen(self, interface: str, member: str, then: Callable[[list[Any]], None]) -> None:
        """Call `then` with the body of every such signal."""
        self._signals[interface, member] = then
        await self._match(f"type='signal',interface='{interface}',member='{member}'")

    async def ask(
        self, name: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> tuple[list[Any] | None, str]:
        """The answer's body, or None and why there is none."""
        if self._bus is None:
            return None, self.why
        call = Message(
            destination=name,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NO_AUTOSTART,
        )
        try:
            async with asyncio.timeout(CALL_S):
                answer = await self._bus.call(call)
        except _BUS_ERRORS as error:
            return None, f"{name}: {type(error).__name__}"
        if answer is None or answer.message_type is not MessageType.METHOD_RETURN:
            said = answer.error_name if answer is not None else "no answer"
            return None, f"{name} is not running" if str(said).endswith(
                ("ServiceUnknown", "NameHasNoOwner")
            ) else f"{name}: {said}"
        return list(answer.body), ""

    async def _match(self, rule: str) -> None:
        await self.ask(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            "s",
            rule,
        )

    async def _refresh(self, service: _Service) -> None:
        body, why = await self.ask(
            service.name, service.path, PROPERTIES, "GetAll", "s", service.interface
        )
        service.properties, service.why = (None, why) if body is None else (_plain(body[0]), "")

    def _heard(self, message: Message) -> None:
        """Every message that comes in; only signals matter."""
        if message.message_type is not MessageType.SIGNAL or self._bus is None:
            return
        if message.member == "NameOwnerChanged":
            for service in self._services:
                if message.body and message.body[0] == service.name:
                    self._later(service)
            return
        if message.member == "PropertiesChanged" and message.interface == PROPERTIES:
            self._take(message)
        elif then := self._signals.get((message.interface or "", message.member or "")):
            then(message.body)
            self._changed()

    def _take(self, message: Message) -> None:
        for service in self._services:
            if message.path != service.path or message.body[0] != service.interface:
                continue
            if service.properties is None or message.body[2]:
                self._later(service)
            else:
                service.properties.update(_plain(message.body[1]))
                self._changed()

    def _later(self, service: _Service) -> None:
        """A service came, went or told us to look."""

        async def look() -> None:
            await self._refresh(service)
            self._changed()

        self.soon(look())

    def soon(self, job: Coroutine[Any, Any, None]) -> None:
        """Ask something because of a signal."""
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class SystemBus:
    """Power, session, network and sleep."""

    def __init__(self, environ: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._bus = Bus(environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS, changed)
        self._power = _Service(*POWER)
        self._network = _Service(*NETWORK)
        self._session: _Service | None = None
        self._session_why = "not asked yet"
        self._session_id = environ.get("XDG_SESSION_ID", "")
        self.sleeps = False

    async def open(self) -> None:
        if not await self._bus.open():
            self._power.why = self._network.why = self._session_why = self._bus.why
            return
        await self._bus.watch(self._power)
        await self._bus.watch(self._network)
        await self._bus.listen(LOGIN[2], "PrepareForSleep", self._sleep)
        path = await self._session_path()
        if path:
            self._session = _Service(LOGIN[0], path, SESSION)
            await self._bus.watch(self._session)

    def close(self) -> None:
        self._bus.close()

    def _sleep(self, body: list[Any]) -> None:
        self.sleeps = bool(body and body[0])

    async def _session_path(self) -> str:
        """The graphical session of this person: a service of the user is in none itself, so the
        user's display session counts.
        """
        body, why = await self._bus.ask(*LOGIN, "GetUser", "u", os.getuid())
        if body is not None:
            found, why = await self._bus.ask(
                LOGIN[0],
                str(body[0]),
                PROPERTIES,
                "Get",
                "ss",
                "org.freedesktop.login1.User",
                "Display",
            )
            shown = _value(found[0]) if found else None
            if shown and shown[1] != "/":
                return str(shown[1])
            why = "no graphical session of this person"
        if self._session_id:
            body, _ = await self._bus.ask(*LOGIN, "GetSession", "s", self._session_id)
            if body is not None:
                return str(body[0])
        self._session_why = why
        return ""

    def told(self) -> Told:
        """on_mains (only where UPower runs), session_active, metered, online."""
        return {
            **({"on_mains": self._on_mains()} if self._power.properties else {}),
            "session_active": self._active(),
            "metered": self._metered(),
            "online": self._online(),
        }

    def _on_mains(self) -> Reading[bool]:
        on_battery = (self._power.properties or {}).get("OnBattery")
        return (
            unknown("UPower does not say")
            if on_battery is None
            else Reading(not on_battery, "UPower")
        )

    def _active(self) -> Reading[bool]:
        if self._session is None:
            return unknown(self._session_why)
        if self._session.properties is None:
            return unknown(self._session.why)
        return Reading(bool(self._session.properties.get("Active", True)), "logind")

    def idle_hint(self, now: float) -> Reading[float]:
        """Idle time as the desktop told logind; coarse, and only where the desktop tells at all."""
        said = (self._session.properties if self._session else None) or {}
        if not said.get("IdleSinceHint"):
            return unknown("logind was told nothing")
        return Reading(
            max(0.0, now - said["IdleSinceHint"] / 1e6) if said.get("IdleHint") else 0.0,
            "logind",
            "s",
        )

    def _metered(self) -> Reading[bool]:
        said = self._network.properties
        if said is None:
            return unknown(self._network.why)
        metered = _METERED.get(said.get("Metered", 0))
        return (
            unknown("NetworkManager does not know")
            if metered is None
            else Reading(metered, "NetworkManager")
        )

    def _online(self) -> Reading[bool]:
        said = self._network.properties
        if said is None:
            return unknown(self._network.why)
        state = said.get("State", 0)
        if state in _OFFLINE_STATES:
            return Reading(False, f"NetworkManager: {_OFFLINE_STATES[state]}")
        return Reading(True, "NetworkManager") if state else unknown("NetworkManager does not know")


class SessionBus:
    """Idle time in a GNOME session, with a signal at the threshold and at the next key or movement;
    in others what KDE's service says.
    """

    def __init__(self, environ: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._address = environ.get("DBUS_SESSION_BUS_ADDRESS", "")
        self._bus = Bus(self._address, changed)
        self._changed = changed
        self._watches: dict[int, str] = {}
        self._adding: set[str] = set()
        """Kinds of watches that were asked for and not yet answered."""
        self._early: set[int] = set()
        """Watches that fired before their number was known here: the signal may come ahead of the
        answer."""
        self._signals = 0
        self._threshold_s = 0
        self._idle_s: float | None = None
        self._source = "Mutter"
        self._why = "no session bus"

    async def open(self) -> None:
        if not self._address:
            self._bus.why = "no session bus"
        elif await self._bus.open():
            await self._bus.listen(IDLE[2], "WatchFired", self._fired)

    def close(self) -> None:
        self._bus.close()

    async def look(self, idle_s: int) -> None:
        """Ask, and have ourselves told of the moment that changes something."""
        signals = self._signals
        body, self._why = await self._bus.ask(*IDLE, "GetIdletime")
        if body is None:
            body, why = await self._bus.ask(*SCREEN_SAVER, "GetSessionIdleTime")
            self._idle_s, self._source, self._why = (
                (None, "", self._why or why) if body is None else (body[0] / 1000, "KDE", "")
            )
            self._watches.clear()  # they are gone with Mutter
            self._threshold_s = 0
            return
        self._source = "Mutter"
        if self._signals == signals:  # else a signal has said something newer meanwhile
            self._idle_s = body[0] / 1000
        if self._threshold_s != idle_s:
            for watch in self._watches:
                await self._bus.ask(*IDLE, "RemoveWatch", "u", watch)
            self._watches.clear()
            self._threshold_s = idle_s
            await self._add("idle", "AddIdleWatch", "t", idle_s * 1000)
        if self._idle_s is not None and self._idle_s >= idle_s:
            await self._add("active", "AddUserActiveWatch")

    async def _add(self, kind: str, member: str, signature: str = "", *body: Any) -> None:
        """Have a watch of this kind, unless there is one."""
        if kind in self._adding or kind in self._watches.values():
            return
        self._adding.add(kind)
        answer, _ = await self._bus.ask(*IDLE, member, signature, *body)
        self._adding.discard(kind)
        if answer is None:
            return
        self._watches[answer[0]] = kind
        if answer[0] in self._early:
            self._fired(answer)
            self._changed()
        if not self._adding:
            self._early.clear()

    def _fired(self, body: list[Any]) -> None:
        kind = self._watches.get(body[0]) if body else None
        if kind is None:
            if body and self._adding:
                self._early.add(body[0])
            return
        self._signals += 1
        if kind == "active":
            del self._watches[body[0]]  # it fires once
            self._idle_s = 0.0
        else:
            self._idle_s = float(self._threshold_s)
            self._bus.soon(self._add("active", "AddUserActiveWatch"))

    def told(self) -> Reading[float]:
        return (
            unknown(self._bus.why or self._why)
            if self._idle_s is None
            else Reading(self._idle_s, self._source, "s")
        )


def _value(variant: Any) -> Any:
    """What a D-Bus variant holds."""
    with suppress(AttributeError):
        return variant.value
    return variant


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(held) for name, held in properties.items()}
