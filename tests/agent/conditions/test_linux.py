"""The probes of a Linux desktop against real message buses: who is there is heard at once, who is
not is unknown with its reason.
"""

import asyncio
from contextlib import asynccontextmanager

import pytest

from agent.conditions.linux import LinuxProbes
from tests.fakes.desktop_services import private_bus

pytestmark = pytest.mark.system
WANTED = frozenset({"on_mains", "charge", "idle", "session_active", "metered", "online"})


@asynccontextmanager
async def probes_on(desktop, tmp_path):
    changed = asyncio.Event()
    probes = LinuxProbes(desktop.environ, tmp_path)
    await probes.open(changed.set)
    await probes.look(WANTED, 60)

    async def heard(name, value):
        """Wait for the next signals until `name` reads `value`."""
        async with asyncio.timeout(60):
            while probes.told()[name].value != value:
                await changed.wait()
                changed.clear()

    try:
        yield probes, heard
    finally:
        await probes.close()


def scene(play, tmp_path, *services):
    async def all_of_it():
        async with private_bus() as desktop:
            bus = await desktop.start(*services)
            try:
                async with probes_on(desktop, tmp_path) as (probes, heard):
                    await play(desktop, probes, heard)
            finally:
                bus.disconnect()

    asyncio.run(all_of_it())


def test_every_service_is_read_and_named(tmp_path):
    async def play(desktop, probes, heard):
        told = probes.told()
        assert {
            name: (told[name].value, told[name].source)
            for name in ("on_mains", "session_active", "metered", "online")
        } == {
            "on_mains": (True, "no battery"),
            "session_active": (True, "logind"),
            "metered": (False, "NetworkManager"),
            "online": (True, "NetworkManager"),
        }
        assert (told["idle"].value, told["idle"].source) == (0.0, "Mutter")

    scene(play, tmp_path)


def test_signals_are_heard_without_asking(tmp_path):
    async def play(desktop, probes, heard):
        desktop.power.set(on_battery=True)
        await heard("on_mains", value=False)
        assert probes.told()["on_mains"].source == "UPower"
        desktop.power.set(on_battery=False)
        await heard("on_mains", value=True)
        desktop.network.set(metered=3)
        await heard("metered", value=True)
        desktop.network.set(state=20)
        await heard("online", value=False)
        desktop.session.set(active=False)
        await heard("session_active", value=False)
        desktop.login.PrepareForSleep(True)
        desktop.network.set(state=70)  # comes after it
        await heard("online", value=True)
        assert probes.sleeps()

    scene(play, tmp_path)


def test_mutter_tells_the_threshold_and_the_next_key(tmp_path):
    async def play(desktop, probes, heard):
        for _ in range(2):
            desktop.idle.set(61_000)
            await heard("idle", value=60.0)
            async with asyncio.timeout(60):
                while ("active", 0) not in desktop.idle.watches.values():
                    await probes.look(WANTED, 60)
            desktop.idle.set(0)
            await heard("idle", value=0.0)

    scene(play, tmp_path)


def test_a_key_in_the_moment_in_which_it_begins_to_be_watched_is_heard_and_so_is_the_next_one(
    tmp_path,
):
    async def play(desktop, probes, heard):
        desktop.idle.is_hasty = True
        desktop.idle.set(61_000)
        await heard("idle", value=60.0)
        await heard("idle", value=0.0)
        desktop.idle.is_hasty = False
        desktop.idle.set(61_000)
        await heard("idle", value=60.0)
        async with asyncio.timeout(60):
            while ("active", 0) not in desktop.idle.watches.values():
                await asyncio.sleep(0)
        desktop.idle.set(0)
        await heard("idle", value=0.0)

    scene(play, tmp_path)


def test_a_service_that_is_missing_is_unknown_and_is_heard_when_it_comes(tmp_path):
    async def play(desktop, probes, heard):
        assert probes.told()["metered"].value is None
        assert "org.freedesktop.NetworkManager is not running" in probes.told()["metered"].source
        later = await desktop.start("network")
        await heard("metered", value=False)
        later.disconnect()
        await heard("metered", value=None)

    scene(play, tmp_path, "power")


async def test_no_bus_at_all_is_unknown_with_a_reason(tmp_path):
    probes = LinuxProbes({"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}, tmp_path)
    await probes.open(lambda: None)
    await probes.look(WANTED, 60)
    told = probes.told()
    await probes.close()
    assert [
        name
        for name in ("idle", "metered", "online", "session_active")
        if told[name].value is not None
    ] == []
    assert "no bus" in told["metered"].source
    assert "no X11 display" in told["idle"].source
