"""The probes of macOS against made-up libraries: the arithmetic and the unknowns.

The system itself was never asked.
"""

import asyncio
from types import SimpleNamespace

from agent.conditions import macos
from agent.conditions.macos import MacProbes

ALL = frozenset(
    {"on_mains", "charge", "idle", "session_active", "full_screen", "online", "metered"}
)


def told(probes, wanted=ALL):
    asyncio.run(probes.look(wanted, 300))
    return {name: reading.value for name, reading in probes.told().items()}


class Mac:
    def __init__(self, *, idle=12.5, session=1, held=1, truth=1):
        self.released = []
        self.CGEventSourceSecondsSinceLastEventType = Call(lambda state, kind: idle)
        self.CGSessionCopyCurrentDictionary = Call(lambda: session)
        self.CFStringCreateWithCString = Call(lambda allocator, text, encoding: 7)
        self.CFDictionaryGetValue = Call(lambda dictionary, key: held)
        self.CFBooleanGetValue = Call(lambda value: truth)
        self.CFRelease = Call(self.released.append)

    def __call__(self, name):
        return self


class Call:
    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *arguments):
        assert len(arguments) == len(self.argtypes)
        return self.answer(*arguments)


def test_macos(monkeypatch):
    battery = SimpleNamespace(percent=55, power_plugged=False)
    monkeypatch.setattr(macos.psutil, "sensors_battery", lambda: battery, raising=False)
    said = told(MacProbes({}, mac := Mac()))
    assert (said["on_mains"], said["charge"], said["idle"], said["session_active"]) == (
        False,
        55.0,
        12.5,
        True,
    )
    assert len(mac.released) == 2
    assert told(MacProbes({}, Mac(truth=0)))["session_active"] is False
    assert told(MacProbes({}, Mac(session=None)))["session_active"] is None
    monkeypatch.setattr(macos.psutil, "sensors_battery", lambda: None, raising=False)
    assert told(MacProbes({}, Mac()))["on_mains"] is True
