"""Reads Windows through ctypes: idle time, power, the foreground session and full screen.

Unverified: it has not run on a real machine yet. The functions are GetLastInputInfo and
GetTickCount (user32, kernel32), GetSystemPowerStatus, WTSGetActiveConsoleSessionId,
SHQueryUserNotificationState and InternetGetConnectedState. Windows signals their changes only to
programs that have a window, so every poll calls them.
"""

import ctypes
import os
from collections.abc import Callable, Mapping
from ctypes import Structure, byref, c_byte, c_int, c_uint, c_ulong, sizeof
from typing import Any

from agent.conditions.polling import PollingProbes
from agent.conditions.readings import Reading, unknown

_FULL_SCREEN = {2: "busy", 3: "full screen", 4: "presentation"}
"""Values of QUERY_USER_NOTIFICATION_STATE in which a program must not disturb."""
_ON_BATTERY, _PLUGGED, _NO_BATTERY, _UNKNOWN_CHARGE = 0, 1, 128, 255


class _LastInput(Structure):
    _fields_ = (("size", c_uint), ("tick", c_uint))


class _Power(Structure):
    _fields_ = (
        ("line", c_byte),
        ("flag", c_byte),
        ("percent", c_byte),
        ("saver", c_byte),
        ("left", c_ulong),
        ("full", c_ulong),
    )


class WindowsProbes(PollingProbes):
    """The probes of the session that the agent runs in."""

    note = "the readings of Windows have not been verified on a real machine"

    def __init__(
        self,
        environ: Mapping[str, str],  # noqa: ARG002
        library: Callable[[str], Any] | None = None,
    ) -> None:
        """`library` returns the DLL of a name; tests pass a fake."""
        super().__init__()
        self._library = library or _dll

    def _readers(self) -> Mapping[str, Callable[[], Reading[Any]]]:
        return {
            "on_mains": self._on_mains,
            "charge": self._charge,
            "idle": self._idle,
            "session_active": self._session_active,
            "full_screen": self._full_screen,
            "online": self._online,
            "metered": lambda: unknown("not read on Windows"),
        }

    def _idle(self) -> Reading[float]:
        last = _LastInput(sizeof(_LastInput), 0)
        if not self._library("user32").GetLastInputInfo(byref(last)):
            return unknown("GetLastInputInfo failed")
        ticks = int(self._library("kernel32").GetTickCount())
        idle_ms = (ticks - last.tick) % 2**32  # the counter wraps around after 49 days
        return Reading(idle_ms / 1000, "GetLastInputInfo", "s")

    def _power(self) -> _Power | None:
        power = _Power()
        return power if self._library("kernel32").GetSystemPowerStatus(byref(power)) else None

    def _on_mains(self) -> Reading[bool]:
        power = self._power()
        if power is not None and power.flag & 0xFF != 255 and power.flag & _NO_BATTERY:
            return Reading(True, "no battery")
        if power is None or power.line not in (_ON_BATTERY, _PLUGGED):
            return unknown("Windows does not know")
        return Reading(power.line == _PLUGGED, "GetSystemPowerStatus")

    def _charge(self) -> Reading[float]:
        power = self._power()
        percent = _UNKNOWN_CHARGE if power is None else power.percent & 0xFF
        return (
            unknown("no battery")
            if percent > 100
            else Reading(float(percent), "GetSystemPowerStatus", "%")
        )

    def _session_active(self) -> Reading[bool]:
        kernel, own = self._library("kernel32"), c_ulong()
        if not kernel.ProcessIdToSessionId(os.getpid(), byref(own)):
            return unknown("ProcessIdToSessionId failed")
        return Reading(
            int(kernel.WTSGetActiveConsoleSessionId()) & 0xFFFFFFFF == own.value, "console session"
        )

    def _full_screen(self) -> Reading[bool]:
        state = c_int()
        if self._library("shell32").SHQueryUserNotificationState(byref(state)):
            return unknown("the shell does not know")
        return Reading(state.value in _FULL_SCREEN, "shell notification state")

    def _online(self) -> Reading[bool]:
        return Reading(
            bool(self._library("wininet").InternetGetConnectedState(byref(c_ulong()), 0)),
            "InternetGetConnectedState",
        )


def _dll(name: str) -> Any:
    return getattr(vars(ctypes)["windll"], name)
