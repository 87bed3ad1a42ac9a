"""The home, the display and the sockets' paths."""

import pytest

from agent.errors import UserActionError
from ui.process import environment

DISPLAYS = ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)


def test_without_a_display_qt_is_not_started(no_display):
    with pytest.raises(UserActionError) as raised:
        environment.require_display()
    assert raised.value.code == "NO_DISPLAY"
    assert "aegis --help" in raised.value.remedy


@pytest.mark.parametrize("name", DISPLAYS)
def test_any_kind_of_display_is_enough(no_display, monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert environment.require_display() is None


def test_other_systems_always_have_a_display(no_display, monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert environment.require_display() is None


def test_a_relative_home_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert environment.chosen_home("device").root == tmp_path / "device"


def test_without_an_option_the_home_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path))
    assert environment.chosen_home(None).root == tmp_path
