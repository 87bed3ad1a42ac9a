"""Reads macOS: power through psutil, idle time and the foreground session through the frameworks.

Unverified: it has not run on a real machine yet. The functions are
CGEventSourceSecondsSinceLastEventType and CGSessionCopyCurrentDictionary (ApplicationServices),
CFDictionaryGetValue and CFBooleanGetValue (CoreFoundation). The network is not read: the frameworks
that know whether it is metered need a run loop of their own.
"""

import ctypes
from collections.abc import Callable, Mapping
from ctypes import c_bool, c_char_p, c_double, c_int, c_uint32, c_void_p
from typing import Any

import psutil

from agent.conditions.polling import PollingProbes
from agent.conditions.readings import Reading, unknown

_COMBINED_SESSION, _ANY_INPUT, _UTF8 = 0, 0xFFFFFFFF, 0x08000100
_FRAMEWORKS = "/System/Library/Frameworks/{0}.framework/{0}"


class MacProbes(PollingProbes):
    """The probes of the session that the agent runs in."""

    note = "the readings of macOS have not been verified on a real machine"

    def __init__(
        self,
        environ: Mapping[str, str],  # noqa: ARG002
        library: Callable[[str], Any] | None = None,
    ) -> None:
        """`library` loads the framework of a name; tests pass a fake."""
        super().__init__()
        self._library = library or _framework

    def _readers(self) -> Mapping[str, Callable[[], Reading[Any]]]:
        return {
            "on_mains": lambda: _power()[0],
            "charge": lambda: _power()[1],
            "idle": self._idle,
            "session_active": self._session_active,
            "metered": lambda: unknown("not read on macOS"),
            "online": lambda: unknown("not read on macOS"),
            "full_screen": lambda: unknown("not read on macOS"),
        }

    def _idle(self) -> Reading[float]:
        idle_s = self._library("ApplicationServices").CGEventSourceSecondsSinceLastEventType
        idle_s.argtypes, idle_s.restype = [c_int, c_uint32], c_double
        seconds = max(0.0, float(idle_s(_COMBINED_SESSION, _ANY_INPUT)))
        return Reading(seconds, "CGEventSource", "s")

    def _session_active(self) -> Reading[bool]:
        graphics, core = self._library("ApplicationServices"), self._library("CoreFoundation")
        copy_session = graphics.CGSessionCopyCurrentDictionary
        copy_session.argtypes, copy_session.restype = [], c_void_p
        create_string = core.CFStringCreateWithCString
        create_string.argtypes, create_string.restype = [c_void_p, c_char_p, c_uint32], c_void_p
        get_value, to_bool = core.CFDictionaryGetValue, core.CFBooleanGetValue
        get_value.argtypes, get_value.restype = [c_void_p, c_void_p], c_void_p
        to_bool.argtypes, to_bool.restype = [c_void_p], c_bool
        core.CFRelease.argtypes, core.CFRelease.restype = [c_void_p], None
        session = copy_session()
        if not session:
            return unknown("no graphical session")
        key = create_string(None, b"kCGSSessionOnConsoleKey", _UTF8)
        try:
            on_console = get_value(session, key)
            if not on_console:
                return unknown("the session does not know")
            return Reading(bool(to_bool(on_console)), "console session")
        finally:
            core.CFRelease(key)
            core.CFRelease(session)


def _power() -> tuple[Reading[bool], Reading[float]]:
    battery = psutil.sensors_battery()
    if battery is None:
        return Reading(True, "no battery"), unknown("no battery")
    plugged = (
        unknown("macOS does not know")
        if battery.power_plugged is None
        else Reading(bool(battery.power_plugged), "psutil")
    )
    return plugged, Reading(float(battery.percent), "psutil", "%")


def _framework(name: str) -> Any:
    return ctypes.CDLL(_FRAMEWORKS.format(name))
