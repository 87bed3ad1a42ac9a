"""What macOS tells: power by psutil, idle time and the session in front by the frameworks.
Unverified: nobody has run it there yet.

CGEventSourceSecondsSinceLastEventType and CGSessionCopyCurrentDictionary (ApplicationServices),
CFDictionaryGetValue, CFBooleanGetValue (CoreFoundation). The network is not asked: the frameworks
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
    """Of the session that the agent runs in."""

    note = "the readings of macOS have not been verified on a real machine"

    def __init__(
        self,
        environ: Mapping[str, str],  # noqa: ARG002
        library: Callable[[str], Any] | None = None,
    ) -> None:
        """`library`: name of a framework -> the loaded library; a fake in tests."""
        super().__init__()
        self._library = library or _framework

    def _asked(self) -> Mapping[str, Callable[[], Reading[Any]]]:
        return {
            "on_mains": lambda: _power()[0],
            "charge": lambda: _power()[1],
            "idle": self._idle,
            "session_active": self._session_active,
            "metered": lambda: unknown("not asked on macOS"),
            "online": lambda: unknown("not asked on macOS"),
            "full_screen": lambda: unknown("not asked on macOS"),
        }

    def _idle(self) -> Reading[float]:
        ask = self._library("ApplicationServices").CGEventSourceSecondsSinceLastEventType
        ask.argtypes, ask.restype = [c_int, c_uint32], c_double
        return Reading(max(0.0, float(ask(_COMBINED_SESSION, _ANY_INPUT))), "CGEventSource", "s")

    def _session_active(self) -> Reading[bool]:
        graphics, core = self._library("ApplicationServices"), self._library("CoreFoundation")
        copy = graphics.CGSessionCopyCurrentDictionary
        copy.argtypes, copy.restype = [], c_void_p
        make, value, truth = (
            core.CFStringCreateWithCString,
            core.CFDictionaryGetValue,
            core.CFBooleanGetValue,
        )
        make.argtypes, make.restype = [c_void_p, c_char_p, c_uint32], c_void_p
        value.argtypes, value.restype = [c_void_p, c_void_p], c_void_p
        truth.argtypes, truth.restype = [c_void_p], c_bool
        core.CFRelease.argtypes, core.CFRelease.restype = [c_void_p], None
        session = copy()
        if not session:
            return unknown("no graphical session")
        key = make(None, b"kCGSSessionOnConsoleKey", _UTF8)
        try:
            held = value(session, key)
            return (
                Reading(bool(truth(held)), "console session")
                if held
                else unknown("the session does not say")
            )
        finally:
            core.CFRelease(key)
            core.CFRelease(session)


def _power() -> tuple[Reading[bool], Reading[float]]:
    battery = psutil.sensors_battery()
    if battery is None:
        return Reading(True, "no battery"), unknown("no battery")
    plugged = (
        unknown("macOS does not say")
        if battery.power_plugged is None
        else Reading(bool(battery.power_plugged), "psutil")
    )
    return plugged, Reading(float(battery.percent), "psutil", "%")


def _framework(name: str) -> Any:
    return ctypes.CDLL(_FRAMEWORKS.format(name))
