"""A poll and a watch of the machine in every order, and what a signal changes.

Whatever is opened is closed once, and nothing is judged before it was read.
"""

import asyncio

import pytest

from agent.conditions.limits import ConditionLimits
from agent.conditions.monitor import Monitor
from agent.conditions.readings import Reading
from agent.reasons import ReasonCode
from tests.fakes.change_signal import ChangeSignal
from tests.fakes.clock import FakeClock
from tests.fakes.timeouts import TIMEOUT_S


class Machine:
    """Makes the probes of a machine, counts them, and sends their signals."""

    def __init__(self):
        self.opened = self.open_now = self.polls = 0
        self.required = frozenset()
        self.gate = None
        """An Event that the probes wait for before they return."""
        self.snapshot = {"session_active": Reading(False, "a test")}
        self.is_going_to_sleep = False
        self.changed = lambda: None

    def signal(self, *, is_going_to_sleep=None, **readings):
        if is_going_to_sleep is not None:
            self.is_going_to_sleep = is_going_to_sleep
        self.snapshot |= {name: Reading(value, "a test") for name, value in readings.items()}
        self.changed()


class Probes:
    note = "a note"

    def __init__(self, machine):
        self._machine = machine

    async def open(self, changed):
        self._machine.open_now += 1
        self._machine.opened += 1
        self._machine.changed = changed
        await self._return()

    async def poll(self, required, idle_s):
        self._machine.polls += 1
        self._machine.required = required
        await self._return()

    async def _return(self):
        gate = self._machine.gate
        await (gate.wait() if gate else asyncio.sleep(0))

    def snapshot(self):
        return dict(self._machine.snapshot)

    def is_going_to_sleep(self):
        return self._machine.is_going_to_sleep

    async def close(self):
        await asyncio.sleep(0)
        self._machine.open_now -= 1


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def local_server():
    """Whether the server runs on this computer; a test may change it."""
    return [False]


@pytest.fixture
def monitor(tmp_path, machine, clock, local_server):
    return Monitor(
        ConditionLimits,
        clock,
        tmp_path,
        {},
        lambda: local_server[0],
        probes=lambda _: Probes(machine),
        others_cpu=lambda: Reading(0.0, "a test", "%"),
    )


def training_codes(monitor):
    return [reason.code for reason in monitor.may_train()]


def has_read(monitor):
    return ReasonCode.OTHER_SESSION in training_codes(monitor)


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def until(condition):
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0)


async def test_nothing_is_known_or_opened_before_the_first_poll(monitor, machine):
    assert (monitor.may_train(), monitor.may_send(), monitor.readings()) == ((), (), ())
    assert (monitor.cpu_percent(), monitor.note()) == (None, "")
    assert machine.opened == 0


async def test_a_poll_reads_once_and_keeps_the_readings(monitor, machine):
    await monitor.poll()
    assert has_read(monitor)
    assert (machine.opened, machine.open_now, machine.polls) == (1, 0, 1)
    assert "session active" in [reading.name for reading in monitor.readings()]
    assert (monitor.cpu_percent(), monitor.note()) == (ConditionLimits().share_in_use, "a note")


async def test_only_readings_that_can_change_a_verdict_are_taken(tmp_path, machine, clock):
    machine.signal(on_mains=False)
    monitor = Monitor(
        lambda: ConditionLimits(battery_rule="always"),
        clock,
        tmp_path,
        {},
        probes=lambda _: Probes(machine),
        others_cpu=lambda: Reading(0.0, "a test", "%"),
    )
    await monitor.poll()
    assert "on_mains" not in machine.required
    (on_mains,) = [reading for reading in monitor.readings() if reading.name == "on mains"]
    assert (on_mains.value, on_mains.source) == ("unknown", "not needed for your settings")


async def test_a_watch_that_begins_during_a_poll_gets_a_connection_of_its_own(monitor, machine):
    machine.gate = asyncio.Event()
    poll = asyncio.create_task(monitor.poll())
    await asyncio.sleep(0)
    watch = asyncio.create_task(monitor.watch(lambda: None))
    await asyncio.sleep(0)
    machine.gate.set()
    await poll
    await until(lambda: machine.opened == 2)
    await until(lambda: has_read(monitor))
    assert (machine.open_now, watch.done()) == (1, False)
    await cancelled(watch)
    assert (machine.open_now, monitor.readings()) == (0, ())


async def test_a_poll_waits_for_the_first_reading_of_a_watch_that_has_just_begun(monitor, machine):
    watch = asyncio.create_task(monitor.watch(lambda: None))
    await asyncio.sleep(0)
    await monitor.poll()
    assert has_read(monitor)
    assert (machine.opened, watch.done()) == (1, False)
    await cancelled(watch)
    assert machine.open_now == 0


async def test_a_watch_that_follows_another_keeps_its_own_connection(monitor, machine):
    first = asyncio.create_task(monitor.watch(lambda: None))
    await until(lambda: has_read(monitor))
    first.cancel()
    second = asyncio.create_task(monitor.watch(lambda: None))
    with pytest.raises(asyncio.CancelledError):
        await first
    await until(lambda: has_read(monitor))
    assert (machine.open_now, second.done()) == (1, False)
    await cancelled(second)
    assert (machine.open_now, machine.opened) == (0, 2)


async def test_a_poll_ends_even_if_the_watch_that_it_waits_for_is_cancelled(monitor, machine):
    machine.gate = asyncio.Event()
    watch = asyncio.create_task(monitor.watch(lambda: None))
    await asyncio.sleep(0)
    poll = asyncio.create_task(monitor.poll())
    await asyncio.sleep(0)
    watch.cancel()
    machine.gate.set()
    async with asyncio.timeout(TIMEOUT_S):
        await poll
    assert has_read(monitor)
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert machine.open_now == 0


@pytest.fixture
async def changes(monitor, machine):
    """The number of changes that a running watch has reported; `until` waits for one."""
    signal = ChangeSignal()
    signal.count = 0

    def changed():
        signal.count += 1
        signal.set()

    watch = asyncio.create_task(monitor.watch(changed))
    await signal.until(lambda: has_read(monitor))
    yield signal
    await cancelled(watch)


async def test_a_signal_changes_the_verdict_at_once(monitor, machine, changes):
    before = changes.count
    machine.signal(session_active=True)
    assert not has_read(monitor)
    assert changes.count == before + 1


async def test_a_signal_that_changes_nothing_is_not_reported(machine, changes):
    before = changes.count
    machine.signal()
    assert changes.count == before


async def test_a_change_of_a_yes_or_no_reading_is_reported_even_if_no_verdict_changes(
    monitor, machine, changes
):
    verdict, before = training_codes(monitor), changes.count
    machine.signal(full_screen=False)
    assert training_codes(monitor) == verdict
    assert changes.count == before + 1


async def test_a_signal_brings_the_next_sample_forward(machine, changes):
    before = machine.polls
    machine.signal(session_active=True)
    await until(lambda: machine.polls > before)


async def test_a_sleep_of_the_machine_counts_against_training(monitor, machine, changes):
    machine.signal(is_going_to_sleep=True)
    assert ReasonCode.BACKOFF in training_codes(monitor)
    machine.signal(is_going_to_sleep=False)
    assert ReasonCode.BACKOFF in training_codes(monitor)  # until it has settled


async def test_a_sleep_that_no_signal_announced_shows_at_the_next_sample(monitor, machine, clock):
    await monitor.poll()
    assert ReasonCode.BACKOFF not in training_codes(monitor)
    clock.sleep_machine(3600)
    await monitor.poll()
    assert ReasonCode.BACKOFF in training_codes(monitor)


async def test_the_network_does_not_matter_for_a_server_on_this_computer(
    monitor, machine, local_server
):
    machine.signal(online=False, metered=True)
    await monitor.poll()
    assert [reason.code for reason in monitor.may_send()] == [
        ReasonCode.METERED,
        ReasonCode.OFFLINE,
    ]
    local_server[0] = True
    assert monitor.may_send() == ()


async def test_a_signal_after_the_watch_has_ended_changes_nothing(monitor, machine):
    watch = asyncio.create_task(monitor.watch(lambda: None))
    await until(lambda: has_read(monitor))
    await cancelled(watch)
    machine.signal(session_active=False)
    assert monitor.readings() == ()
