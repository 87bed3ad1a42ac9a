"""The probes of Windows against made-up libraries: the arithmetic and the unknowns.

The system itself was never asked.
"""

import asyncio
import os
from types import SimpleNamespace

import pytest

from agent.conditions.macos import MacProbes
from agent.conditions.windows import WindowsProbes

ALL = frozenset(
    {"on_mains", "charge", "idle", "session_active", "full_screen", "online", "metered"}
)


class Windows:
    """DLLs that answer what a test says."""

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
        self.said = SimpleNamespace(
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

    def GetSystemPowerStatus(self, held):
        power = held._obj
        power.line, power.flag, power.percent = self.said.line, self.said.flag, self.said.percent
        return 1

    def GetLastInputInfo(self, held):
        held._obj.tick = self.said.last
        return 1

    def GetTickCount(self):
        return self.said.tick

    def ProcessIdToSessionId(self, pid, held):
        assert pid == os.getpid()
        held._obj.value = self.said.session
        return 1

    def WTSGetActiveConsoleSessionId(self):
        return self.said.console

    def SHQueryUserNotificationState(self, held):
        held._obj.value = self.said.notification
        return 0

    def InternetGetConnectedState(self, flags, reserved):
        return 1


def told(probes, wanted=ALL):
    asyncio.run(probes.look(wanted, 300))
    return {name: reading.value for name, reading in probes.told().items()}


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        ({}, "on_mains", True),
        ({"line": 0}, "on_mains", False),
        ({"line": -1}, "on_mains", None),
        ({"line": -1, "flag": -128}, "on_mains", True),  # 128: no battery
        ({"percent": 80}, "charge", 80.0),
        ({"percent": -1}, "charge", None),  # 255: unknown
        ({}, "idle", 6.0),
        ({"tick": 1_000, "last": 2**32 - 1_000}, "idle", 2.0),  # the counter started anew
        ({"console": 4}, "session_active", False),
        ({"notification": 3}, "full_screen", True),
        ({"notification": 5}, "full_screen", False),
        ({}, "online", True),
        ({}, "metered", None),
    ],
)
def test_windows(said, name, value):
    assert told(WindowsProbes({}, Windows(**said)))[name] == value


def test_a_library_that_is_missing_is_unknown_with_its_reason():
    def missing(name):
        raise OSError(f"no {name}")

    for probes in (WindowsProbes({}, missing), MacProbes({}, missing)):
        asyncio.run(probes.look(ALL, 300))
        assert probes.told()["idle"].value is None
        assert "no " in probes.told()["idle"].source
        assert "not been verified" in probes.note
