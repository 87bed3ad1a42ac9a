"""What a Linux desktop tells, each by the best source that is there.

Power: the kernel, and UPower for the moment it changes; where they differ, battery counts. Session,
sleep: logind. Network: NetworkManager. Idle time: Mutter, X11, KDE, logind, in this order. Full
screen: X11.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.conditions.dbus_watch import SessionBus, SystemBus
from agent.conditions.power import SYSTEM_ROOT, read_power
from agent.conditions.readings import Reading, Told
from agent.conditions.x11 import X11


class LinuxProbes:
    """Of one person's session, as its environment names it."""

    note = ""

    def __init__(self, environ: Mapping[str, str], power_root: Path = SYSTEM_ROOT) -> None:
        self._power_root = power_root
        self._environ = environ
        self._changed: Callable[[], None] = lambda: None
        self._system = SystemBus(environ, self._heard)
        self._session = SessionBus(environ, self._heard)
        # In a Wayland session the X server inside it sees only what X programs get.
        self._x11 = X11(
            "" if environ.get("WAYLAND_DISPLAY") else environ.get("DISPLAY", ""), self._heard
        )
        self._power: Told = {}

    async def open(self, changed: Callable[[], None]) -> None:
        await self._system.open()
        await self._session.open()
        self._x11.open()
        self._changed = changed

    async def look(self, wanted: frozenset[str], idle_s: int) -> None:
        self._read_power(wanted)
        if "idle" in wanted:
            await self._session.look(idle_s)
            self._x11.watch(idle_s)

    def told(self) -> Told:
        told = {
            **self._system.told(),
            "full_screen": self._x11.full_screen(),
            "idle": self._idle(),
            **self._power,
        }
        if "on_mains" in told:
            told["on_mains"] = _careful(
                self._power.get("on_mains"), self._system.told().get("on_mains")
            )
        return told

    def sleeps(self) -> bool:
        return self._system.sleeps

    async def close(self) -> None:
        self._changed = lambda: None
        self._system.close()
        self._session.close()
        self._x11.close()

    def _heard(self) -> None:
        """A signal: the kernel may know more than the service that sent it."""
        if self._power:
            self._read_power(frozenset({"on_mains", "charge"}))
        self._changed()

    def _read_power(self, wanted: frozenset[str]) -> None:
        if wanted & {"on_mains", "charge"}:
            self._power["on_mains"], self._power["charge"] = read_power(self._power_root)

    def _idle(self) -> Reading[float]:
        asked = (self._session.told(), self._x11.idle(), self._system.idle_hint(time.time()))
        return next((reading for reading in asked if reading.value is not None), self._none(asked))

    def _none(self, asked: tuple[Reading[float], ...]) -> Reading[float]:
        return Reading(None, "; ".join(reading.source for reading in asked), "s")


def _careful(kernel: Reading[bool] | None, upower: Reading[bool] | None) -> Reading[bool]:
    """Battery where either says so, else what is known."""
    known = [
        reading for reading in (kernel, upower) if reading is not None and reading.value is not None
    ]
    on_battery = [reading for reading in known if not reading.value]
    return (on_battery or known or [kernel or upower or Reading(None, "nothing tells it")])[0]
