"""Reads a Linux desktop, each reading from the best source that is there.

Power comes from the kernel, and UPower signals its changes; where the two differ, battery counts.
Session and sleep come from logind, the network from NetworkManager, full screen from X11. Idle time
comes from the first of Mutter or KDE, X11 and logind that knows it.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.conditions.power import SYSTEM_ROOT, read_power
from agent.conditions.readings import Reading, Snapshot
from agent.conditions.session_bus import SessionBus
from agent.conditions.system_bus import SystemBus
from agent.conditions.x11 import X11

POWER = frozenset({"on_mains", "charge"})


class LinuxProbes:
    """The probes of the session that `environ` describes."""

    note = ""

    def __init__(self, environ: Mapping[str, str], power_root: Path = SYSTEM_ROOT) -> None:
        self._power_root = power_root
        self._changed: Callable[[], None] = lambda: None
        self._system = SystemBus(environ, self._on_signal)
        self._session = SessionBus(environ, self._on_signal)
        # The X server inside a Wayland session sees only the input that X programs receive.
        display = "" if environ.get("WAYLAND_DISPLAY") else environ.get("DISPLAY", "")
        self._x11 = X11(display, self._on_signal)
        self._power: Snapshot = {}
        """What the kernel reported; empty until power is required."""

    async def open(self, changed: Callable[[], None]) -> None:
        await self._system.open()
        await self._session.open()
        self._x11.open()
        self._changed = changed

    async def poll(self, required: frozenset[str], idle_s: int) -> None:
        if required & POWER:
            self._read_power()
        if "idle" in required:
            await self._session.poll(idle_s)
            self._x11.watch(idle_s)

    def snapshot(self) -> Snapshot:
        system = self._system.snapshot()
        kernel, upower = self._power.get("on_mains"), system.get("on_mains")
        combined = {"on_mains": combine_power(kernel, upower)} if kernel or upower else {}
        return {
            **system,
            **self._power,
            **combined,
            "full_screen": self._x11.full_screen(),
            "idle": self._idle(),
        }

    def is_going_to_sleep(self) -> bool:
        return self._system.is_going_to_sleep

    async def close(self) -> None:
        self._changed = lambda: None
        self._system.close()
        self._session.close()
        self._x11.close()

    def _on_signal(self) -> None:
        # The kernel may know more about power than the service that sent the signal.
        if self._power:
            self._read_power()
        self._changed()

    def _read_power(self) -> None:
        self._power["on_mains"], self._power["charge"] = read_power(self._power_root)

    def _idle(self) -> Reading[float]:
        found = (self._session.idle(), self._x11.idle(), self._system.idle_hint(time.time()))
        known = [reading for reading in found if reading.value is not None]
        return known[0] if known else Reading(None, "; ".join(one.source for one in found), "s")


def combine_power(kernel: Reading[bool] | None, upower: Reading[bool] | None) -> Reading[bool]:
    """Return battery if either source reports it, else whatever is known.

    A plug that one of them overlooks costs a little training; a battery would be drained.
    """
    found = [reading for reading in (kernel, upower) if reading is not None]
    on_battery = [reading for reading in found if reading.value is False]
    on_mains = [reading for reading in found if reading.value]
    return (on_battery or on_mains or found or [Reading(None, "no source")])[0]
