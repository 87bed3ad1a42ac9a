"""Each operating system has its probes; an unknown one has some that read nothing."""

import sys

import pytest

from agent.conditions.polling import PollingProbes
from agent.conditions.probes import native_probes


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("linux", "LinuxProbes"),
        ("win32", "WindowsProbes"),
        ("darwin", "MacProbes"),
        ("freebsd14", "PollingProbes"),
    ],
)
def test_the_probes_are_those_of_the_system(monkeypatch, platform, name):
    monkeypatch.setattr(sys, "platform", platform)
    assert type(native_probes({})).__name__ == name


def test_a_system_without_probes_says_that_it_reads_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "freebsd14")
    probes = native_probes({})
    assert type(probes) is PollingProbes
    assert probes.note


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reads its desktop over D-Bus")
def test_an_installation_without_the_bus_library_fails_instead_of_knowing_less(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("dbus_fast")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dbus_fast", None)  # as if it were not installed
    for name in ("linux", "system_bus", "session_bus", "dbus_watch"):
        monkeypatch.delitem(sys.modules, f"agent.conditions.{name}", raising=False)
    with pytest.raises(ImportError):
        native_probes({})
