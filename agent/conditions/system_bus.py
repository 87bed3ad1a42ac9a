"""Readings from the system bus of Linux: power, session, network and sleep.

Names and values are those that the services document: org.freedesktop.UPower (OnBattery),
org.freedesktop.login1 (sessions, PrepareForSleep), org.freedesktop.NetworkManager (NMMetered,
NMState).
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from agent.conditions.dbus_watch import PROPERTIES, DBusWatch, WatchedObject, plain_value
from agent.conditions.readings import Reading, Snapshot, unknown

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
LOGIN = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
USER = "org.freedesktop.login1.User"
SESSION = "org.freedesktop.login1.Session"
NETWORK = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
)
POWER = ("org.freedesktop.UPower", "/org/freedesktop/UPower", "org.freedesktop.UPower")
_METERED = {1: True, 2: False, 3: True, 4: False}
"""NMMetered: yes, no, guessed yes, guessed no."""
_OFFLINE_STATES = {10: "asleep", 20: "disconnected", 30: "disconnecting", 40: "connecting"}
"""Values of NMState below "connected to something"."""


class SystemBus:
    """Power, session, network and sleep of one person's desktop."""

    def __init__(self, environ: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._bus = DBusWatch(environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS, changed)
        self._power = WatchedObject(*POWER)
        self._network = WatchedObject(*NETWORK)
        self._session: WatchedObject | None = None
        self._session_why = "not read yet"
        self._session_id = environ.get("XDG_SESSION_ID", "")
        self.is_going_to_sleep = False
        """Whether logind has announced a sleep that has not ended yet."""

    async def open(self) -> None:
        """Connect and read everything once; never raises."""
        if not await self._bus.open():
            self._power.why = self._network.why = self._session_why = self._bus.why
            return
        await self._bus.watch(self._power)
        await self._bus.watch(self._network)
        await self._bus.subscribe(LOGIN[2], "PrepareForSleep", self._on_prepare_for_sleep)
        path = await self._session_path()
        if path:
            self._session = WatchedObject(LOGIN[0], path, SESSION)
            await self._bus.watch(self._session)

    def close(self) -> None:
        self._bus.close()

    def snapshot(self) -> Snapshot:
        """Return session_active, metered and online, and on_mains where UPower runs."""
        return {
            **({"on_mains": self._on_mains()} if self._power.properties else {}),
            "session_active": self._session_active(),
            "metered": self._metered(),
            "online": self._online(),
        }

    def idle_hint(self, now: float) -> Reading[float]:
        """Return the idle time that the desktop reports to logind: coarse, and few desktops do."""
        properties = (self._session.properties if self._session else None) or {}
        since_us = properties.get("IdleSinceHint")
        if not since_us:
            return unknown("logind has no idle hint")
        idle_s = max(0.0, now - since_us / 1e6) if properties.get("IdleHint") else 0.0
        return Reading(idle_s, "logind", "s")

    def _on_prepare_for_sleep(self, body: list[Any]) -> None:
        self.is_going_to_sleep = bool(body and body[0])

    async def _session_path(self) -> str:
        """Return the path of this person's graphical session; empty if there is none.

        The agent may run as a service of the user and then belongs to no session itself, so logind
        is asked for the user's display session first.
        """
        body, why = await self._bus.call(*LOGIN, "GetUser", "u", os.getuid())
        if body is not None:
            path = str(body[0])
            display, why = await self._bus.call(
                LOGIN[0], path, PROPERTIES, "Get", "ss", USER, "Display"
            )
            session = plain_value(display[0]) if display else None
            if session and session[1] != "/":
                return str(session[1])
            why = "this person has no graphical session"
        if self._session_id:
            body, _ = await self._bus.call(*LOGIN, "GetSession", "s", self._session_id)
            if body is not None:
                return str(body[0])
        self._session_why = why
        return ""

    def _on_mains(self) -> Reading[bool]:
        on_battery = (self._power.properties or {}).get("OnBattery")
        if on_battery is None:
            return unknown("UPower does not report it")
        return Reading(not on_battery, "UPower")

    def _session_active(self) -> Reading[bool]:
        if self._session is None:
            return unknown(self._session_why)
        if self._session.properties is None:
            return unknown(self._session.why)
        return Reading(bool(self._session.properties.get("Active", True)), "logind")

    def _metered(self) -> Reading[bool]:
        properties = self._network.properties
        if properties is None:
            return unknown(self._network.why)
        metered = _METERED.get(properties.get("Metered", 0))
        if metered is None:
            return unknown("NetworkManager does not know")
        return Reading(metered, "NetworkManager")

    def _online(self) -> Reading[bool]:
        properties = self._network.properties
        if properties is None:
            return unknown(self._network.why)
        state = properties.get("State", 0)
        if not state:
            return unknown("NetworkManager does not know")
        if state in _OFFLINE_STATES:
            return Reading(False, f"NetworkManager: {_OFFLINE_STATES[state]}")
        return Reading(True, "NetworkManager")
