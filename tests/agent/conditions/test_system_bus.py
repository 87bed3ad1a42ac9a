"""Power, session, network and sleep from the system bus, each service alone or missing."""

import time

import pytest

from agent.conditions.system_bus import SystemBus
from tests.fakes.change_signal import ChangeSignal

NETWORK_STATES = {
    0: (None, "NetworkManager does not know"),
    10: (False, "NetworkManager: asleep"),
    20: (False, "NetworkManager: disconnected"),
    30: (False, "NetworkManager: disconnecting"),
    40: (False, "NetworkManager: connecting"),
    50: (True, "NetworkManager"),
    70: (True, "NetworkManager"),
}
METERED = {0: None, 1: True, 2: False, 3: True, 4: False, 99: None}


class OpenBus(SystemBus):
    """A system bus with the signal of its changes."""

    def __init__(self, environ):
        self.changed = ChangeSignal()
        super().__init__(environ, self.changed.set)

    async def until(self, name, value):
        await self.changed.until(lambda: self.snapshot()[name].value == value)


@pytest.fixture
async def system(services):
    """A system bus that is connected before any service runs."""
    system = OpenBus(services.environ)
    await system.open()
    yield system
    system.close()


@pytest.mark.system
async def test_a_missing_service_is_unknown_and_says_so(services, system):
    snapshot = system.snapshot()
    assert "on_mains" not in snapshot
    assert {name: reading.source for name, reading in snapshot.items()} == {
        "session_active": "org.freedesktop.login1 is not running",
        "metered": "org.freedesktop.NetworkManager is not running",
        "online": "org.freedesktop.NetworkManager is not running",
    }


@pytest.mark.system
async def test_a_service_is_read_when_it_appears_and_unknown_when_it_ends(services, system):
    bus = await services.start("network")
    await system.until("metered", value=False)
    bus.disconnect()
    await system.until("metered", value=None)
    assert system.snapshot()["metered"].source == "org.freedesktop.NetworkManager is not running"
    bus = await services.start("network")
    await system.until("metered", value=False)
    assert system.snapshot()["metered"].source == "NetworkManager"
    bus.disconnect()


@pytest.mark.system
@pytest.mark.parametrize("state", NETWORK_STATES)
async def test_each_state_of_the_network(services, system, state):
    services.network.state = state
    bus = await services.start("network")
    await system.until("metered", value=False)  # it has been read
    reading = system.snapshot()["online"]
    assert (reading.value, reading.source) == NETWORK_STATES[state]
    bus.disconnect()


@pytest.mark.system
async def test_each_answer_to_whether_the_network_is_metered(services, system):
    bus = await services.start("network")
    await system.until("online", value=True)
    for answer, metered in METERED.items():
        services.network.set(metered=answer, state=20)
        await system.until("online", value=False)  # the second signal: both have arrived
        assert system.snapshot()["metered"].value is metered
        services.network.set(state=70)
        await system.until("online", value=True)
    bus.disconnect()


@pytest.mark.system
async def test_a_sleep_begins_and_ends(desktop):
    system = OpenBus(desktop.environ)
    await system.open()
    assert not system.is_going_to_sleep
    for is_going_to_sleep in (True, False):
        desktop.login.PrepareForSleep(is_going_to_sleep)
        await system.changed.until(
            lambda expected=is_going_to_sleep: system.is_going_to_sleep is expected
        )
    system.close()


@pytest.mark.system
async def test_a_desktop_that_gives_logind_no_hint_has_no_idle_time(desktop):
    system = OpenBus(desktop.environ)
    await system.open()
    assert system.idle_hint(time.time()).value is None
    system.close()


async def test_without_a_bus_every_reading_is_unknown(tmp_path):
    system = OpenBus({"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"})
    await system.open()
    assert {reading.value for reading in system.snapshot().values()} == {None}
    assert all("no bus" in reading.source for reading in system.snapshot().values())
    assert "on_mains" not in system.snapshot()
    system.close()
