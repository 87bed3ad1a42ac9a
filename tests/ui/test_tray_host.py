"""Waiting for a notification area on a session without a bus; the system tests have real ones."""

import pytest
from PySide6.QtWidgets import QSystemTrayIcon

from ui.tray_host import TrayHost


@pytest.fixture
def looks(monkeypatch):
    """How often Qt was asked for an area, and what it answers: `looks.answer`."""

    class Looks(list):
        answer = False

        def look(self):
            self.append(self.answer)
            return self.answer

    looks = Looks()
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", staticmethod(looks.look))
    return looks


@pytest.fixture
def reports():
    return []


@pytest.fixture
def host(qapp, looks, reports):
    host = TrayHost(1)
    host.absent.connect(lambda: reports.append("absent"))
    host.appeared.connect(lambda: reports.append("appeared"))
    return host


def test_a_session_without_an_area_is_reported(qtbot, host, looks, reports):
    qtbot.waitUntil(lambda: bool(looks))
    assert reports == ["absent"]


def test_an_area_that_is_there_in_time_is_not_reported_as_absent(qtbot, host, looks, reports):
    looks.answer = True
    qtbot.waitUntil(lambda: bool(looks))
    assert reports == []


def test_before_the_timeout_nobody_asks(qapp, qtbot, looks):
    patient = TrayHost(600_000)
    with qtbot.waitSignal(TrayHost(1, patient).absent):
        pass
    assert looks == [False]  # the short one only
