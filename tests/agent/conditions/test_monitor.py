"""One look and one watch of the machine at the same time, in every order: what is opened is closed,
once, and nothing is said unread.
"""

import asyncio
import sys

import psutil
import pytest

from agent.conditions import load
from agent.conditions.evaluate import ConditionLimits
from agent.conditions.monitor import Monitor
from agent.conditions.readings import Reading
from agent.reasons import ReasonCode
from tests.fakes.clock import FakeClock
from tests.fakes.timeouts import TIMEOUT_S


class Probes:
    """Counts what is open; every answer takes a turn of the event loop or waits for `gate`."""

    note = ""
    is_open, opened = 0, 0
    gate = None

    def __init__(self, _):
        pass

    async def open(self, changed):
        Probes.is_open += 1
        Probes.opened += 1
        await self._answer()

    async def look(self, wanted, idle_s):
        await self._answer()

    async def _answer(self):
        await (Probes.gate.wait() if Probes.gate else asyncio.sleep(0))

    def told(self):
        return {"session_active": Reading(False, "a test")}

    def sleeps(self):
        return False

    async def close(self):
        await asyncio.sleep(0)
        Probes.is_open -= 1


@pytest.fixture
def monitor(tmp_path):
    Probes.is_open, Probes.opened, Probes.gate = 0, 0, None
    return Monitor(
        lambda: ConditionLimits(),
        FakeClock(),
        tmp_path,
        {},
        probes=Probes,
        others=lambda: Reading(0.0, "a test", "%"),
    )


def is_held(monitor):
    return ReasonCode.OTHER_SESSION in [reason.code for reason in monitor.may_train()]


async def ended(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def until(condition):
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0)


async def test_a_watch_that_begins_in_a_look_loses_no_connection(monitor):
    Probes.gate = asyncio.Event()
    looking = asyncio.create_task(monitor.look())
    await asyncio.sleep(0)
    watching = asyncio.create_task(monitor.watch(lambda: None))
    await asyncio.sleep(0)
    Probes.gate.set()
    await looking
    await until(lambda: Probes.opened == 2)
    await until(lambda: is_held(monitor))
    assert (Probes.is_open, watching.done()) == (1, False)
    await ended(watching)
    assert (Probes.is_open, monitor.readings()) == (0, ())


async def test_a_look_waits_for_the_first_reading_of_a_watch_that_just_began(monitor):
    watching = asyncio.create_task(monitor.watch(lambda: None))
    await asyncio.sleep(0)
    await monitor.look()
    assert is_held(monitor)
    assert (Probes.opened, watching.done()) == (1, False)
    await ended(watching)
    assert Probes.is_open == 0


async def test_a_watch_that_follows_one_that_ends_keeps_its_own_connection(monitor):
    first = asyncio.create_task(monitor.watch(lambda: None))
    await until(lambda: is_held(monitor))
    first.cancel()
    second = asyncio.create_task(monitor.watch(lambda: None))
    with pytest.raises(asyncio.CancelledError):
        await first
    await until(lambda: is_held(monitor))
    assert (Probes.is_open, second.done()) == (1, False)
    await ended(second)
    assert (Probes.is_open, Probes.opened) == (0, 2)


async def test_a_look_during_a_watch_that_is_ended_before_its_first_reading_ends_too(monitor):
    Probes.gate = asyncio.Event()
    watching = asyncio.create_task(monitor.watch(lambda: None))
    await asyncio.sleep(0)
    looking = asyncio.create_task(monitor.look())
    await asyncio.sleep(0)
    watching.cancel()
    Probes.gate.set()
    await asyncio.wait_for(looking, TIMEOUT_S)
    assert is_held(monitor)
    assert Probes.is_open == 0


class Times:
    idle, iowait = 0.0, 0.0

    def __init__(self, busy):
        self.busy = busy

    def __iter__(self):
        return iter((self.busy,))


def test_what_the_own_worker_takes_is_not_the_load_of_others(monkeypatch):
    ours, now, busy = [5.0], [100.0], [50.0]
    monkeypatch.setattr(load.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(busy[0]))
    monkeypatch.setattr(load.os, "cpu_count", lambda: 2)
    others = load.OthersLoad(lambda: ours[0])
    assert others.read().value is None
    for took, by_others, percent in ((10.0, 0.0, 0.0), (10.0, 5.0, 25.0), (0.0, 10.0, 50.0)):
        now[0], busy[0], ours[0] = now[0] + 10, busy[0] + took + by_others, ours[0] + took
        assert others.read().value == pytest.approx(percent)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reads its desktop over D-Bus")
async def test_an_installation_without_the_bus_library_fails_instead_of_knowing_less(
    tmp_path, monkeypatch
):
    for name in [name for name in sys.modules if name.startswith("dbus_fast")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dbus_fast", None)  # as if it were not installed
    for name in ("agent.conditions.linux", "agent.conditions.dbus_watch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monitor = Monitor(lambda: ConditionLimits(), FakeClock(), tmp_path, {})
    with pytest.raises(ImportError):
        await monitor.look()
