"""The probes of a Linux desktop against real message buses: every reading from its best source."""

import pytest

from agent.conditions.linux import LinuxProbes, combine_power
from agent.conditions.readings import Reading, unknown
from tests.fakes.change_signal import ChangeSignal

REQUIRED = frozenset({"on_mains", "charge", "idle", "session_active", "metered", "online"})
YES, NO, UNKNOWN = Reading(True, "a test"), Reading(False, "a test"), unknown("no source")


class WatchedProbes(LinuxProbes):
    """Probes with the signal of their changes."""

    def __init__(self, environ, power_root):
        super().__init__(environ, power_root)
        self.changed = ChangeSignal()

    async def until(self, name, value):
        await self.changed.until(lambda: self.snapshot()[name].value == value)


@pytest.fixture
async def probes(desktop, tmp_path):
    """Open probes that have polled once."""
    probes = WatchedProbes(desktop.environ, tmp_path)
    await probes.open(probes.changed.set)
    await probes.poll(REQUIRED, 60)
    yield probes
    await probes.close()


@pytest.mark.system
async def test_every_reading_names_its_source(probes):
    snapshot = probes.snapshot()
    assert {name: (reading.value, reading.source) for name, reading in snapshot.items()} == {
        "on_mains": (True, "no battery"),
        "charge": (None, "no battery"),
        "session_active": (True, "logind"),
        "metered": (False, "NetworkManager"),
        "online": (True, "NetworkManager"),
        "full_screen": (None, "no X11 display"),
        "idle": (0.0, "Mutter"),
    }


@pytest.mark.system
async def test_signals_change_the_readings_without_a_poll(desktop, probes):
    desktop.power.set(on_battery=True)
    await probes.until("on_mains", value=False)
    assert probes.snapshot()["on_mains"].source == "UPower"
    desktop.power.set(on_battery=False)
    await probes.until("on_mains", value=True)
    desktop.network.set(metered=3)
    await probes.until("metered", value=True)
    desktop.network.set(state=20)
    await probes.until("online", value=False)
    desktop.session.set(active=False)
    await probes.until("session_active", value=False)


@pytest.mark.system
async def test_a_sleep_is_announced(desktop, probes):
    desktop.login.PrepareForSleep(True)
    desktop.network.set(state=20)  # its signal follows the announcement
    await probes.until("online", value=False)
    assert probes.is_going_to_sleep()


@pytest.mark.system
async def test_a_battery_that_only_the_kernel_sees_counts(desktop, probes, tmp_path):
    (tmp_path / "BAT0").mkdir()
    for name, text in {"type": "Battery", "status": "Discharging", "capacity": "42"}.items():
        (tmp_path / "BAT0" / name).write_text(text)
    desktop.network.set(metered=3)  # any signal makes the probes read the kernel anew
    await probes.until("metered", value=True)
    snapshot = probes.snapshot()
    assert (snapshot["on_mains"].value, snapshot["on_mains"].source) == (False, "BAT0 discharges")
    assert snapshot["charge"].value == 42


async def test_without_a_bus_and_a_display_readings_are_unknown_with_a_reason(tmp_path):
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    probes = LinuxProbes(environ, tmp_path)
    await probes.open(lambda: None)
    await probes.poll(REQUIRED, 60)
    snapshot = probes.snapshot()
    await probes.close()
    for name in ("metered", "online", "session_active"):
        assert snapshot[name].value is None
        assert "no bus" in snapshot[name].source
    assert snapshot["idle"].value is None
    assert snapshot["idle"].source == "no session bus; no X11 display; logind has no idle hint"
    assert snapshot["on_mains"].value is True  # the kernel lists no battery


async def test_power_is_not_read_unless_it_is_required(tmp_path):
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    probes = LinuxProbes(environ, tmp_path)
    await probes.open(lambda: None)
    await probes.poll(frozenset({"online"}), 60)
    assert "on_mains" not in probes.snapshot()
    await probes.close()


@pytest.mark.parametrize(
    ("kernel", "upower", "expected"),
    [
        (YES, YES, True),
        (YES, NO, False),
        (NO, YES, False),
        (UNKNOWN, YES, True),
        (UNKNOWN, NO, False),
        (YES, UNKNOWN, True),
        (YES, None, True),
        (None, NO, False),
        (UNKNOWN, UNKNOWN, None),
        (None, None, None),
    ],
)
def test_battery_counts_wherever_one_source_reports_it(kernel, upower, expected):
    assert combine_power(kernel, upower).value is expected
