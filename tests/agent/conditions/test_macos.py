"""The probes of macOS against made-up libraries: the arithmetic and the unknowns.

They have not met the real system yet.
"""

from types import SimpleNamespace

import pytest

from agent.conditions import macos
from agent.conditions.macos import MacProbes

ALL = frozenset(
    {"on_mains", "charge", "idle", "session_active", "full_screen", "online", "metered"}
)


class Mac:
    """Frameworks whose answers a test sets."""

    def __init__(self, *, idle=12.5, session=1, on_console=1, truth=1):
        self.released = []
        self.CGEventSourceSecondsSinceLastEventType = Call(lambda state, kind: idle)
        self.CGSessionCopyCurrentDictionary = Call(lambda: session)
        self.CFStringCreateWithCString = Call(lambda allocator, text, encoding: 7)
        self.CFDictionaryGetValue = Call(lambda dictionary, key: on_console)
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


async def readings(probes, required=ALL):
    await probes.poll(required, 300)
    return {name: reading.value for name, reading in probes.snapshot().items()}


@pytest.fixture
def battery(monkeypatch):
    """A battery whose state the test sets; None is a computer without one."""
    state = SimpleNamespace(value=SimpleNamespace(percent=55, power_plugged=False))
    monkeypatch.setattr(macos.psutil, "sensors_battery", lambda: state.value, raising=False)
    return state


async def test_a_notebook_on_battery(battery):
    found = await readings(MacProbes({}, Mac()))
    assert found == {
        "on_mains": False,
        "charge": 55.0,
        "idle": 12.5,
        "session_active": True,
        "metered": None,
        "online": None,
        "full_screen": None,
    }


async def test_every_object_of_the_frameworks_is_released(battery):
    mac = Mac()
    await readings(MacProbes({}, mac))
    assert sorted(mac.released) == [1, 7]  # the session and the key


@pytest.mark.parametrize(
    ("state", "active"),
    [
        ({"truth": 1}, True),
        ({"truth": 0}, False),
        ({"session": None}, None),
        ({"on_console": 0}, None),
    ],
)
async def test_whether_the_session_is_in_the_foreground(battery, state, active):
    assert (await readings(MacProbes({}, Mac(**state))))["session_active"] is active


@pytest.mark.parametrize(
    ("value", "on_mains", "charge"),
    [
        (None, True, None),
        (SimpleNamespace(percent=80, power_plugged=True), True, 80.0),
        (SimpleNamespace(percent=80, power_plugged=None), None, 80.0),
    ],
    ids=["no battery", "plugged in", "unknown"],
)
async def test_power_and_charge(battery, value, on_mains, charge):
    battery.value = value
    found = await readings(MacProbes({}, Mac()))
    assert (found["on_mains"], found["charge"]) == (on_mains, charge)


async def test_a_missing_framework_is_unknown_with_its_reason(battery):
    def missing(name):
        raise OSError(f"no {name}")

    probes = MacProbes({}, missing)
    await probes.poll(ALL, 300)
    reading = probes.snapshot()["idle"]
    assert (reading.value, reading.source) == (None, "idle: OSError: no ApplicationServices")


def test_the_note_says_that_the_readings_are_unverified():
    assert "not been verified" in MacProbes({}, Mac()).note
