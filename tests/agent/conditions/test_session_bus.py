"""The idle time of a GNOME session by signals, and its absence elsewhere."""

import asyncio

import pytest

from agent.conditions.session_bus import SessionBus
from tests.fakes.change_signal import ChangeSignal
from tests.fakes.timeouts import TIMEOUT_S

IDLE_S = 60


class OpenBus(SessionBus):
    """A session bus with the signal of its changes."""

    def __init__(self, environ):
        self.changed = ChangeSignal()
        super().__init__(environ, self.changed.set)

    async def until_idle(self, seconds):
        await self.changed.until(lambda: self.idle().value == seconds)


@pytest.fixture
async def session(desktop):
    """A session bus that has polled once."""
    session = OpenBus(desktop.environ)
    await session.open()
    await session.poll(IDLE_S)
    yield session
    session.close()


async def until_input_is_watched(desktop, step):
    async with asyncio.timeout(TIMEOUT_S):
        while ("active", 0) not in desktop.idle.watches.values():
            await step()


@pytest.mark.system
async def test_the_threshold_and_the_next_input_arrive_by_signal_again_and_again(desktop, session):
    assert (session.idle().value, session.idle().source) == (0.0, "Mutter")
    for _ in range(2):
        desktop.idle.set(61_000)
        await session.until_idle(60.0)
        await until_input_is_watched(desktop, lambda: session.poll(IDLE_S))
        desktop.idle.set(0)
        await session.until_idle(0.0)


@pytest.mark.system
async def test_an_input_that_overtakes_the_request_to_watch_for_it_counts(desktop, session):
    desktop.idle.is_hasty = True
    desktop.idle.set(61_000)
    await session.until_idle(60.0)
    await session.until_idle(0.0)
    desktop.idle.is_hasty = False
    desktop.idle.set(61_000)
    await session.until_idle(60.0)
    await until_input_is_watched(desktop, lambda: asyncio.sleep(0))
    desktop.idle.set(0)
    await session.until_idle(0.0)


@pytest.mark.system
async def test_another_threshold_replaces_the_watch(desktop, session):
    assert list(desktop.idle.watches.values()) == [("idle", 60_000)]
    await session.poll(IDLE_S)
    assert list(desktop.idle.watches.values()) == [("idle", 60_000)]
    await session.poll(120)
    assert list(desktop.idle.watches.values()) == [("idle", 120_000)]
    desktop.idle.set(121_000)
    await session.until_idle(120.0)


@pytest.mark.system
async def test_kde_is_polled(services):
    bus = await services.start("screen_saver")
    services.screen_saver.idle_ms = 75_500
    session = OpenBus(services.environ)
    await session.open()
    await session.poll(IDLE_S)
    assert (session.idle().value, session.idle().source) == (75.5, "KDE")
    services.screen_saver.idle_ms = 500
    await session.poll(IDLE_S)
    assert session.idle().value == 0.5
    session.close()
    bus.disconnect()


@pytest.mark.system
async def test_a_desktop_without_an_idle_monitor_has_no_idle_time(services):
    session = OpenBus(services.environ)
    await session.open()
    await session.poll(IDLE_S)
    reading = session.idle()
    assert (reading.value, reading.source) == (
        None,
        "org.gnome.Mutter.IdleMonitor is not running",
    )
    session.close()


async def test_without_a_session_bus_the_idle_time_is_unknown():
    session = OpenBus({})
    await session.open()
    await session.poll(IDLE_S)
    assert (session.idle().value, session.idle().source) == (None, "no session bus")
    session.close()
