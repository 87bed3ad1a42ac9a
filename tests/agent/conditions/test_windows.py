"""The probes of Windows against made-up libraries: the arithmetic and the unknowns.

They have not met the real system yet.
"""

import os
from types import SimpleNamespace

import pytest

from agent.conditions.windows import WindowsProbes

ALL = frozenset(
    {"on_mains", "charge", "idle", "session_active", "full_screen", "online", "metered"}
)


class Windows:
    """DLLs whose answers a test sets."""

    def __init__(
        self,
        *,
        line=1,
        flag=0,
        percent=80,
        tick=10_000,
        last=4_000,
        session=3,
        console=3,
        notification=5,
    ):
        self.state = SimpleNamespace(
            line=line,
            flag=flag,
            percent=percent,
            tick=tick,
            last=last,
            session=session,
            console=console,
            notification=notification,
        )

    def __call__(self, name):
        return self

    def GetSystemPowerStatus(self, reference):
        power = reference._obj
        power.line, power.flag, power.percent = self.state.line, self.state.flag, self.state.percent
        return 1

    def GetLastInputInfo(self, reference):
        reference._obj.tick = self.state.last
        return 1

    def GetTickCount(self):
        return self.state.tick

    def ProcessIdToSessionId(self, pid, reference):
        assert pid == os.getpid()
        reference._obj.value = self.state.session
        return 1

    def WTSGetActiveConsoleSessionId(self):
        return self.state.console

    def SHQueryUserNotificationState(self, reference):
        reference._obj.value = self.state.notification
        return 0

    def InternetGetConnectedState(self, flags, reserved):
        return 1


async def readings(probes, required=ALL):
    await probes.poll(required, 300)
    return {name: reading.value for name, reading in probes.snapshot().items()}


@pytest.mark.parametrize(
    ("state", "name", "value"),
    [
        ({}, "on_mains", True),
        ({"line": 0}, "on_mains", False),
        ({"line": -1}, "on_mains", None),
        ({"line": -1, "flag": -128}, "on_mains", True),  # 128: no battery
        ({"percent": 80}, "charge", 80.0),
        ({"percent": -1}, "charge", None),  # 255: unknown
        ({}, "idle", 6.0),
        ({"tick": 1_000, "last": 2**32 - 1_000}, "idle", 2.0),  # the counter wrapped around
        ({}, "session_active", True),
        ({"console": 4}, "session_active", False),
        ({"notification": 3}, "full_screen", True),
        ({"notification": 5}, "full_screen", False),
        ({}, "online", True),
        ({}, "metered", None),
    ],
)
async def test_each_reading_follows_the_system(state, name, value):
    assert (await readings(WindowsProbes({}, Windows(**state))))[name] == value


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("GetSystemPowerStatus", "on_mains"),
        ("GetSystemPowerStatus", "charge"),
        ("GetLastInputInfo", "idle"),
        ("ProcessIdToSessionId", "session_active"),
    ],
)
async def test_a_call_that_fails_gives_an_unknown_reading(call, name):
    windows = Windows()
    setattr(windows, call, lambda *_: 0)
    assert (await readings(WindowsProbes({}, windows)))[name] is None


async def test_a_missing_library_is_unknown_with_its_reason():
    def missing(name):
        raise OSError(f"no {name}")

    probes = WindowsProbes({}, missing)
    await probes.poll(ALL, 300)
    reading = probes.snapshot()["idle"]
    assert (reading.value, reading.source) == (None, "idle: OSError: no user32")


async def test_only_required_readings_are_taken():
    assert await readings(WindowsProbes({}, Windows()), frozenset({"idle"})) == {"idle": 6.0}


def test_the_note_says_that_the_readings_are_unverified():
    assert "not been verified" in WindowsProbes({}, Windows()).note
