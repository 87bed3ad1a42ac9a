"""Reads idle time and full screen of an X11 session, through libX11 and libXext with ctypes.

The server's IDLETIME counter measures the time since the last input. An alarm on it wakes us at the
threshold and another at the next input, so nothing is polled in between (X Synchronization
Extension Protocol 3.1, sections 3 and 4). An X server that disappears, or reports an error, must
not end this process: both handlers of Xlib are replaced. Where the newer of them is missing (libX11
before 1.7) X11 is not used at all.
"""

import asyncio
import ctypes
import ctypes.util
from collections.abc import Callable
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char,
    c_char_p,
    c_int,
    c_long,
    c_uint,
    c_ulong,
    c_void_p,
)
from typing import Any

from agent.conditions.readings import Reading, unknown

ALARM_NOTIFY = 1
CREATE_MASK = 0x3F
"""Sets counter, value type, value, test type, delta and events."""
POSITIVE_TRANSITION, NEGATIVE_TRANSITION = 0, 1
MAX_COUNTERS = 64
MAX_EVENTS = 64
_ANY_TYPE = 0
_MAX_STATES = 64


class _Value(Structure):
    _fields_ = (("hi", c_int), ("lo", c_uint))


class _Trigger(Structure):
    _fields_ = (
        ("counter", c_ulong),
        ("value_type", c_int),
        ("wait_value", _Value),
        ("test_type", c_int),
    )


class _AlarmAttributes(Structure):
    _fields_ = (("trigger", _Trigger), ("delta", _Value), ("events", c_int), ("state", c_int))


class _SystemCounter(Structure):
    _fields_ = (("name", c_char_p), ("counter", c_ulong), ("resolution", _Value))


class _Event(Structure):
    """The XEvent union: an event type, padded to 24 longs."""

    _fields_ = (
        ("type", c_int),
        ("rest", c_char * (24 * ctypes.sizeof(c_long) - ctypes.sizeof(c_int))),
    )


_ERROR = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
_IO_ERROR = ctypes.CFUNCTYPE(c_int, c_void_p)
_IO_EXIT = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class X11:
    """One display."""

    def __init__(self, display: str, changed: Callable[[], None]) -> None:
        self._name = display
        self._changed = changed
        self._display: int | None = None
        self._counter = 0
        self._threshold_s = 0
        self._watched: int | None = None
        self._alarm_event = -1
        self._alarms: list[int] = []
        self._broken = False
        self.why = "no X11 display"
        """Why there is no reading."""

    def open(self) -> None:
        """Connect and find the counter; never raises."""
        if not self._name:
            return
        try:
            self._load()
        except (OSError, AttributeError) as error:
            self.why = f"X11's libraries: {error}"[:120]
            return
        self._display = self._x.XOpenDisplay(self._name.encode())
        if not self._display:
            self._display, self.why = None, f"display {self._name} does not answer"
            return
        self._x.XSetIOErrorExitHandler(self._display, self._io_exit, None)
        self._counter = self._idle_counter()
        self.why = "" if self._counter else "this X server does not count idle time"
        if self._counter:
            self._watched = int(self._x.XConnectionNumber(self._display))
            asyncio.get_running_loop().add_reader(self._watched, self._readable)

    def close(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
        display, self._display, self._watched = self._display, None, None
        if display is not None:
            self._x.XCloseDisplay(display)

    def watch(self, idle_s: int) -> None:
        """Report a change when `idle_s` have passed without input, and at the input after that."""
        if self._display is None or not self._counter or self._threshold_s == idle_s:
            return
        for alarm in self._alarms:
            self._sync.XSyncDestroyAlarm(self._display, alarm)
        self._threshold_s = idle_s
        self._alarms = [
            self._alarm(idle_s * 1000 + extra, test)
            for extra, test in ((1, POSITIVE_TRANSITION), (-1, NEGATIVE_TRANSITION))
        ]
        self._x.XFlush(self._display)

    def idle(self) -> Reading[float]:
        """Return the seconds since the last key press or mouse movement."""
        if self._display is None or not self._counter:
            return unknown(self.why)
        value = _Value()
        if (
            not self._sync.XSyncQueryCounter(self._display, self._counter, byref(value))
            or self._broken
        ):
            self._lost()
            return unknown(self.why)
        return Reading((value.hi * 2**32 + value.lo) / 1000, "X11", "s")

    def full_screen(self) -> Reading[bool]:
        """Return whether the active window fills the screen.

        The window manager publishes that as _NET_WM_STATE_FULLSCREEN (EWMH).
        """
        if self._display is None:
            return unknown(self.why)
        root = self._x.XDefaultRootWindow(self._display)
        windows = self._longs(root, b"_NET_ACTIVE_WINDOW")
        if self._broken:
            self._lost()
            return unknown(self.why)
        if not windows:
            return unknown("the window manager does not publish the active window")
        states = self._longs(windows[0], b"_NET_WM_STATE") if windows[0] else []
        return Reading(
            self._x.XInternAtom(self._display, b"_NET_WM_STATE_FULLSCREEN", 0) in states, "X11"
        )

    def _load(self) -> None:
        """Load the libraries and declare the types of the functions that are used.

        Raises OSError, or AttributeError with libX11 before 1.7.
        """
        x, sync = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXext.so.6")
        x.XSetIOErrorExitHandler.argtypes, x.XSetIOErrorExitHandler.restype = (
            [c_void_p, _IO_EXIT, c_void_p],
            None,
        )
        x.XOpenDisplay.argtypes, x.XOpenDisplay.restype = [c_char_p], c_void_p
        for name in ("XCloseDisplay", "XFlush", "XConnectionNumber", "XPending"):
            getattr(x, name).argtypes = [c_void_p]
        x.XNextEvent.argtypes = [c_void_p, POINTER(_Event)]
        x.XDefaultRootWindow.argtypes, x.XDefaultRootWindow.restype = [c_void_p], c_ulong
        x.XInternAtom.argtypes, x.XInternAtom.restype = [c_void_p, c_char_p, c_int], c_ulong
        x.XFree.argtypes = [c_void_p]
        x.XGetWindowProperty.argtypes = [
            c_void_p,
            c_ulong,
            c_ulong,
            c_long,
            c_long,
            c_int,
            c_ulong,
            *[c_void_p] * 5,
        ]
        sync.XSyncQueryExtension.argtypes = [c_void_p, POINTER(c_int), POINTER(c_int)]
        sync.XSyncInitialize.argtypes = [c_void_p, POINTER(c_int), POINTER(c_int)]
        sync.XSyncListSystemCounters.argtypes = [c_void_p, POINTER(c_int)]
        sync.XSyncListSystemCounters.restype = POINTER(_SystemCounter)
        sync.XSyncFreeSystemCounterList.argtypes = [POINTER(_SystemCounter)]
        sync.XSyncQueryCounter.argtypes = [c_void_p, c_ulong, POINTER(_Value)]
        sync.XSyncCreateAlarm.argtypes, sync.XSyncCreateAlarm.restype = (
            [c_void_p, c_ulong, POINTER(_AlarmAttributes)],
            c_ulong,
        )
        sync.XSyncDestroyAlarm.argtypes = [c_void_p, c_ulong]
        self._x, self._sync = x, sync
        self._error, self._io_error, self._io_exit = (
            _ERROR(lambda *_: 0),
            _IO_ERROR(self._gone),
            _IO_EXIT(lambda *_: None),
        )
        x.XSetErrorHandler(self._error)
        x.XSetIOErrorHandler(self._io_error)

    def _gone(self, _display: Any) -> int:
        self._broken = True
        return 0

    def _lost(self) -> None:
        """Give up the connection to an X server that is gone.

        Xlib allows no further call with it, so only its descriptor is released.
        """
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
        self._display, self._watched, self.why = None, None, "the X server is gone"

    def _idle_counter(self) -> int:
        base, error, major, minor, count = c_int(), c_int(), c_int(3), c_int(1), c_int()
        if not self._sync.XSyncQueryExtension(self._display, byref(base), byref(error)):
            return 0
        self._alarm_event = base.value + ALARM_NOTIFY
        if not self._sync.XSyncInitialize(self._display, byref(major), byref(minor)):
            return 0
        counters = self._sync.XSyncListSystemCounters(self._display, byref(count))
        if not counters:
            return 0
        found = next(
            (
                counters[i].counter
                for i in range(min(count.value, MAX_COUNTERS))
                if counters[i].name == b"IDLETIME"
            ),
            0,
        )
        self._sync.XSyncFreeSystemCounterList(counters)
        return int(found)

    def _alarm(self, at_ms: int, test: int) -> int:
        attributes = _AlarmAttributes(
            _Trigger(self._counter, 0, _Value(at_ms >> 32, at_ms & 0xFFFFFFFF), test),
            _Value(0, 0),
            1,
            0,
        )
        return int(self._sync.XSyncCreateAlarm(self._display, CREATE_MASK, byref(attributes)))

    def _readable(self) -> None:
        """Handle an alarm, or the end of the server."""
        event, is_alarm = _Event(), False
        for _ in range(MAX_EVENTS):
            if self._display is None or not self._x.XPending(self._display) or self._broken:
                break
            self._x.XNextEvent(self._display, byref(event))
            is_alarm = is_alarm or event.type == self._alarm_event
        if self._broken:
            self._lost()
        if is_alarm or self._display is None:
            self._changed()

    def _longs(self, window: int, name: bytes) -> list[int]:
        """Return a property of longs (atoms, windows); empty if the window lacks it or is gone."""
        kind, form, count, after, data = (
            c_ulong(),
            c_int(),
            c_ulong(),
            c_ulong(),
            POINTER(c_ulong)(),
        )
        atom = self._x.XInternAtom(self._display, name, 1)
        if not atom:
            return []
        failed = self._x.XGetWindowProperty(
            self._display,
            window,
            atom,
            0,
            _MAX_STATES,
            0,
            _ANY_TYPE,
            byref(kind),
            byref(form),
            byref(count),
            byref(after),
            byref(data),
        )
        if failed or not data:
            return []
        values = [int(data[i]) for i in range(count.value)] if form.value == 32 else []
        self._x.XFree(data)
        return values
