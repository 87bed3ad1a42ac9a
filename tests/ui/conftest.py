"""Windows without a screen: one application, the real theme, and no message of Qt's that nobody
expected.
"""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.setdefault("LANG", "C.UTF-8")

import pytest
from pytestqt.qtbot import QtBot

from tests.ui import windows
from ui.theme import Theme

PATIENCE_MS = 60_000
HARMLESS = (
    "This plugin does not support",
    "QObject::connect: No such signal QPlatformNativeInterface::systemTrayWindowChanged",
)
"""What Qt says of the off-screen platform itself (PLATFORM §1)."""


@pytest.fixture(scope="session")
def qapp():
    return windows.plain_application()


@pytest.fixture(scope="session")
def theme(qapp):
    return Theme(qapp)


class PatientBot(QtBot):
    """Waits longer than five seconds where nobody says how long: the machine may be busy."""

    def waitSignal(self, signal, *, timeout=PATIENCE_MS, **options):
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitUntil(self, callback, *, timeout=PATIENCE_MS):
        super().waitUntil(callback, timeout=timeout)


@pytest.fixture
def qtbot(qapp, request):
    return PatientBot(request)


@pytest.fixture(autouse=True)
def quiet_qt(request, qtlog, qapp):
    """A message of Qt's fails the test; windows that a test left open are closed."""
    yield
    windows.clear()
    said = [record.message for record in qtlog.records if not record.message.startswith(HARMLESS)]
    assert said == []
