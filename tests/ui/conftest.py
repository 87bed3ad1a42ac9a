"""Windows without a screen: one application, the real theme, and no unexpected message from Qt."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.setdefault("LANG", "C.UTF-8")

import pytest
from pytestqt.qtbot import QtBot

from tests.ui import windows
from ui.theme import Theme

TIMEOUT_MS = 60_000
HARMLESS = (
    "This plugin does not support",
    "QObject::connect: No such signal QPlatformNativeInterface::systemTrayWindowChanged",
)
"""Messages of Qt's off-screen platform itself."""


@pytest.fixture(scope="session")
def qapp():
    return windows.plain_application()


@pytest.fixture(scope="session")
def theme(qapp):
    return Theme(qapp)


class TolerantBot(QtBot):
    """Waits longer than pytest-qt's five seconds by default: the machine may be busy."""

    def waitSignal(self, signal, *, timeout=TIMEOUT_MS, **options):
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitUntil(self, callback, *, timeout=TIMEOUT_MS):
        super().waitUntil(callback, timeout=timeout)


@pytest.fixture
def qtbot(qapp, request):
    return TolerantBot(request)


@pytest.fixture(autouse=True)
def quiet_qt(request, qtlog, qapp):
    """Close the windows that a test left open, and fail it for any message of Qt's."""
    yield
    windows.clear()
    messages = [record.message for record in qtlog.records]
    assert [message for message in messages if not message.startswith(HARMLESS)] == []
