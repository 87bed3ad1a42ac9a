"""A cycle ends at once on a withdrawal, a pause or a discard, and leaves nothing behind."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome
from tests.fakes.device import Device
from tests.fakes.timeouts import within


def offline():
    return UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")


@pytest.mark.parametrize("stage", ["train", "seal"])
async def test_p2_a_withdrawal_in_the_middle_stops_the_worker_and_sends_nothing(device, stage):
    await device.join()
    running = await device.cycle_suspended_at(stage)
    started = asyncio.get_running_loop().time()
    status = await device.call("consent.withdraw", surface="tray")
    assert asyncio.get_running_loop().time() - started < 1
    assert (status["state"], status["consent"]["state"]) == ("off", "WITHDRAWN")
    assert (await running).outcome is Outcome.STOPPED
    assert device.worker.stopped
    assert "send_update" not in device.server.calls
    assert list((device.home / "scratch").iterdir()) == []
    assert device.agent.ledger.charges() == []
    del device.worker.gates[stage]
    await device.grant()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.server.calls.count("register") == 1


@pytest.mark.parametrize("fails", [False, True], ids=["it holds", "its writing fails"])
async def test_a_pause_suspends_training_before_it_writes_anything(device, monkeypatch, fails):
    """The disk may be slow, and a person who pauses wants a quiet machine."""
    await device.join()
    running = await device.cycle_suspended_at("train")
    put, seen = device.agent.values.put, []

    def slow(key, value):
        seen.append((key, device.worker.is_suspended))
        if fails:
            raise UserActionError("DISK_FULL", "The disk is full.", "Free some space.")
        put(key, value)

    monkeypatch.setattr(device.agent.values, "put", slow)
    if fails:
        with pytest.raises(UserActionError):
            await device.call("pause")
        assert not running.done()
    else:
        await device.call("pause")
        assert (await running).outcome is Outcome.STOPPED
    assert ("pause", True) in seen
    assert not device.worker.is_suspended
    await device.agent.runner.stop()
    await running


async def test_a_worker_that_ended_with_its_cycle_is_no_error(device, monkeypatch):
    await device.join()

    async def stopped(*_, **__):
        raise UserActionError("WORKER_STOPPED", "The work was stopped before it was finished.", "")

    monkeypatch.setattr(device.worker, "train", stopped)
    assert (await device.run_cycle()).outcome is Outcome.STOPPED


@pytest.mark.parametrize("method", ["samples.clear", "discard"])
async def test_a_training_discarded_or_without_its_rows_is_never_sent(device, method):
    await device.join()
    running = await device.cycle_suspended_at("train")
    await device.call(method)
    device.worker.gates["train"].set()
    assert (await running).outcome is Outcome.STOPPED
    assert device.agent.runner.updates.current is None
    assert list((device.home / "scratch").iterdir()) == []
    assert (device.server.updates, device.agent.ledger.charges()) == ({}, [])


async def test_a_pause_stops_cycles_and_survives_a_restart(device):
    await device.join()
    status = await device.call("pause", seconds=900)
    assert (status["state"], status["paused_until"]) == ("paused", device.clock.now() + 900)
    device.restart()
    result = await device.run_cycle()
    assert (result.outcome, result.reasons[0].code.value) == (Outcome.WAITING, "USER_PAUSED")
    assert device.server.calls == []
    device.clock.advance(901)
    assert (await device.run_cycle()).outcome is Outcome.SENT


def children_of_this_process():
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(stat.parent.name)
    return set(found)


@pytest.fixture
def real_device(tmp_path):
    from agent.supervisor.process_worker import ProcessWorker

    device = Device(tmp_path, worker=ProcessWorker)
    yield device
    device.close()


@pytest.mark.slow
async def test_p2_a_withdrawal_ends_a_real_worker_in_its_training(real_device):
    device, before = real_device, children_of_this_process()
    await device.join()
    running = asyncio.create_task(device.run_cycle())
    async with asyncio.timeout(60):
        while not children_of_this_process() - before:
            await asyncio.sleep(0.01)
    await within(1, device.call("consent.withdraw", surface="tray"))
    assert children_of_this_process() == before
    assert list((device.home / "scratch").iterdir()) == []
    assert (await running).outcome is Outcome.STOPPED
    assert device.server.updates == {}
    await device.grant()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert (await device.call("ledger", verify=True))["verified"] is True
