"""The idle time from the session bus of Linux: by signals from GNOME, by polls from KDE.

org.gnome.Mutter.IdleMonitor fires a watch when an idle time is reached and another at the next key
press or mouse movement. org.freedesktop.ScreenSaver, which KDE offers, only answers questions.
"""

from collections.abc import Callable, Mapping
from typing import Any

from agent.conditions.dbus_watch import DBusWatch
from agent.conditions.readings import Reading, unknown

IDLE = (
    "org.gnome.Mutter.IdleMonitor",
    "/org/gnome/Mutter/IdleMonitor/Core",
    "org.gnome.Mutter.IdleMonitor",
)
SCREEN_SAVER = ("org.freedesktop.ScreenSaver", "/ScreenSaver", "org.freedesktop.ScreenSaver")
_AT_THRESHOLD, _AT_INPUT = "threshold", "input"
"""The two kinds of watches."""


class SessionBus:
    """Idle time of one person's desktop session."""

    def __init__(self, environ: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._address = environ.get("DBUS_SESSION_BUS_ADDRESS", "")
        self._bus = DBusWatch(self._address, changed)
        self._changed = changed
        self._watches: dict[int, str] = {}
        """Kinds by the number that Mutter gave the watch."""
        self._adding: set[str] = set()
        """Kinds that were requested and have no number yet."""
        self._fired_early: set[int] = set()
        """Watches that fired before their number was known here: the signal can overtake the
        reply."""
        self._signals = 0
        self._threshold_s = 0
        self._idle_s: float | None = None
        self._source = "Mutter"
        self._why = "no session bus"

    async def open(self) -> None:
        """Connect; never raises."""
        if not self._address:
            self._bus.why = "no session bus"
        elif await self._bus.open():
            await self._bus.subscribe(IDLE[2], "WatchFired", self._on_watch_fired)

    def close(self) -> None:
        self._bus.close()

    async def poll(self, idle_s: int) -> None:
        """Read the idle time, and watch for the moments at which it passes `idle_s` and ends."""
        signals_before = self._signals
        body, self._why = await self._bus.call(*IDLE, "GetIdletime")
        if body is None:
            await self._poll_screen_saver()
            return
        self._source = "Mutter"
        if self._signals == signals_before:  # else a signal during the call is newer
            self._idle_s = body[0] / 1000
        if self._threshold_s != idle_s:
            # Mutter keeps watches until they are removed, also those of an old threshold.
            for watch in self._watches:
                await self._bus.call(*IDLE, "RemoveWatch", "u", watch)
            self._watches.clear()
            self._threshold_s = idle_s
            await self._add_watch(_AT_THRESHOLD, "AddIdleWatch", "t", idle_s * 1000)
        if self._idle_s is not None and self._idle_s >= idle_s:
            await self._add_watch(_AT_INPUT, "AddUserActiveWatch")

    def idle(self) -> Reading[float]:
        """Return the last known idle time."""
        if self._idle_s is None:
            return unknown(self._bus.why or self._why)
        return Reading(self._idle_s, self._source, "s")

    async def _poll_screen_saver(self) -> None:
        body, why = await self._bus.call(*SCREEN_SAVER, "GetSessionIdleTime")
        if body is None:
            self._idle_s, self._source, self._why = None, "", self._why or why
        else:
            self._idle_s, self._source, self._why = body[0] / 1000, "KDE", ""
        self._watches.clear()  # they ended with Mutter
        self._threshold_s = 0

    async def _add_watch(self, kind: str, member: str, signature: str = "", *body: Any) -> None:
        """Add a watch, unless there is one of this kind."""
        if kind in self._adding or kind in self._watches.values():
            return
        self._adding.add(kind)
        reply, _ = await self._bus.call(*IDLE, member, signature, *body)
        self._adding.discard(kind)
        if reply is None:
            return
        self._watches[reply[0]] = kind
        if reply[0] in self._fired_early:
            self._on_watch_fired(reply)
            self._changed()
        if not self._adding:
            self._fired_early.clear()

    def _on_watch_fired(self, body: list[Any]) -> None:
        kind = self._watches.get(body[0]) if body else None
        if kind is None:
            if body and self._adding:
                self._fired_early.add(body[0])
            return
        self._signals += 1
        if kind == _AT_INPUT:
            del self._watches[body[0]]  # this kind fires once
            self._idle_s = 0.0
        else:
            self._idle_s = float(self._threshold_s)
            self._bus.start(self._add_watch(_AT_INPUT, "AddUserActiveWatch"))
