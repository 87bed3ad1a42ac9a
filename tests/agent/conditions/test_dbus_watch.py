"""One connection to a bus: properties that keep themselves current, and failures with a reason."""

import pytest

from agent.conditions.dbus_watch import DBusWatch, WatchedObject
from agent.conditions.system_bus import LOGIN, NETWORK
from tests.fakes.change_signal import ChangeSignal


@pytest.fixture
async def changed():
    return ChangeSignal()


@pytest.fixture
async def watch(services, changed):
    watch = DBusWatch(services.address, changed.set)
    assert await watch.open()
    yield watch
    watch.close()


@pytest.mark.system
async def test_the_properties_of_an_object_follow_its_signals(services, watch, changed):
    bus = await services.start("network")
    network = WatchedObject(*NETWORK)
    await watch.watch(network)
    assert network.properties == {"Metered": 2, "State": 70}
    services.network.set(state=20)
    await changed.until(lambda: network.properties["State"] == 20)
    assert network.properties["Metered"] == 2
    bus.disconnect()


@pytest.mark.system
async def test_a_value_that_a_signal_leaves_out_is_read(services, watch, changed):
    bus = await services.start("network")
    network = WatchedObject(*NETWORK)
    await watch.watch(network)
    services.network.metered = 1
    services.network.emit_properties_changed({}, ["Metered"])
    await changed.until(lambda: network.properties["Metered"] == 1)
    bus.disconnect()


@pytest.mark.system
async def test_an_object_of_a_missing_service_says_why_and_is_read_when_it_appears(
    services, watch, changed
):
    network = WatchedObject(*NETWORK)
    await watch.watch(network)
    assert network.properties is None
    assert network.why == "org.freedesktop.NetworkManager is not running"
    bus = await services.start("network")
    await changed.until(lambda: network.properties is not None)
    assert network.why == ""
    bus.disconnect()
    await changed.until(lambda: network.properties is None)


@pytest.mark.system
async def test_a_subscription_receives_the_body_of_its_signal(services, watch, changed):
    bus = await services.start("login")
    bodies = []
    await watch.subscribe(LOGIN[2], "PrepareForSleep", bodies.append)
    services.login.PrepareForSleep(True)
    await changed.until(lambda: bodies == [[True]])
    bus.disconnect()


@pytest.mark.system
async def test_a_call_returns_the_body_or_the_reason(services, watch):
    bus = await services.start("login")
    body, why = await watch.call(*LOGIN, "GetUser", "u", 0)
    assert (body, why) == (["/org/freedesktop/login1/user/_me"], "")
    body, why = await watch.call(*LOGIN, "NoSuchMethod")
    assert body is None
    assert why.startswith("org.freedesktop.login1: org.freedesktop.DBus.Error.")
    bus.disconnect()


@pytest.mark.system
async def test_a_closed_connection_answers_no_call(watch):
    watch.close()
    body, _ = await watch.call(*LOGIN, "GetUser", "u", 0)
    assert body is None


async def test_a_bus_that_is_missing_is_a_reason_not_an_error(tmp_path):
    watch = DBusWatch(f"unix:path={tmp_path}/none", lambda: None)
    assert not await watch.open()
    assert watch.why.startswith("no bus: ")
    assert await watch.call(*LOGIN, "GetUser", "u", 0) == (None, watch.why)
    network = WatchedObject(*NETWORK)
    await watch.watch(network)
    assert (network.properties, network.why) == (None, watch.why)
    watch.close()
