"""When the sources search by themselves, and what a failure costs."""

import pytest

from agent.config.sample_sources import SystemPlaces
from agent.errors import UserActionError
from agent.protocol.jobs import Collected, CollectResult, Searched
from agent.protocol.sources import Source
from agent.rounds import collector as module
from agent.rounds.outcome import Outcome
from agent.sandbox.minimum import Offered
from tests.fakes.device import Device

LACKING = Offered(system_calls=False, landlock=0, private_agent=False)


@pytest.fixture
def make(tmp_path):
    devices = []

    async def make(**overrides):
        (tmp_path / "scan.log").touch()
        (tmp_path / "programs").mkdir()
        places = SystemPlaces(scanner_logs=(str(tmp_path / "scan.log"),))
        device = Device(tmp_path, system_places=places, **overrides)
        devices.append(device)
        await device.join()
        await device.call("sources.set", source="clamav", on=True, surface="cli")
        await device.call("sources.add", path=str(tmp_path / "programs"))
        device.folder = str(tmp_path / "programs")
        return device

    yield make
    for device in devices:
        device.close()


def looks(device):
    return len(device.worker.collects)


async def test_a_cycle_looks_before_it_trains(make):
    device = await make()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.worker.calls.index("collect") < device.worker.calls.index("train")
    assert device.agent.collector.last().programs == 1


async def test_a_folder_is_walked_again_after_a_change_or_a_day(make):
    device = await make()
    await device.run_cycle()
    device.agent.collector.folder_changed(device.folder)
    await device.run_cycle()
    assert looks(device) == 1, "not within an hour, however often something changes"
    device.clock.advance(module.PAUSE_S)
    await device.run_cycle()
    assert looks(device) == 2
    device.clock.advance(module.PAUSE_S)
    await device.run_cycle()
    assert looks(device) == 2, "nothing has changed"
    device.clock.advance(module.AGAIN_S)
    await device.run_cycle()
    assert looks(device) == 3


async def test_a_source_that_was_switched_on_since_looks_in_folders_without_a_change(
    make, tmp_path
):
    device = await make()
    await device.run_cycle()
    (tmp_path / "other.log").touch()
    await device.call("sources.log", path=str(tmp_path / "other.log"))
    device.clock.advance(module.PAUSE_S)
    await device.run_cycle()
    assert looks(device) == 2, "another log"
    await device.call("sources.set", source="clamav", on=False, surface="cli")
    await device.call("sources.set", source="clamav", on=True, surface="cli")
    device.clock.advance(module.PAUSE_S)
    await device.run_cycle()
    assert looks(device) == 3, "a source that was off"


async def test_a_look_that_was_ended_early_is_repeated(make):
    device = await make()
    device.worker.collected = CollectResult((), (), None, ())
    await device.run_cycle()
    device.clock.advance(module.PAUSE_S)
    await device.run_cycle()
    assert looks(device) == 2


async def test_a_failure_costs_the_look_and_not_the_cycle(make, monkeypatch):
    device = await make()

    async def fails(*_):
        raise UserActionError("WORKER_LIMIT", "Too much.", "Later.")

    monkeypatch.setattr(device.worker, "collect", fails)
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert not device.worker.is_suspended


async def test_rows_end_with_their_days_before_the_next_training(make):
    device = await make()
    row = Collected(Source.CLAMAV, "ab" * 32, (1,) * 29)
    device.worker.collected = CollectResult((row,), (), Searched(1, 1), ())
    await device.run_cycle()
    assert device.agent.samples.counts_by_source()["clamav"] == 1
    device.clock.advance(90 * 24 * 3600)
    device.agent.collector.tidy()
    assert "clamav" not in device.agent.samples.counts_by_source()


async def test_files_that_nobody_named_are_not_opened_without_the_whole_sandbox(make):
    device = await make(offered=lambda: LACKING)
    await device.run_cycle()
    assert looks(device) == 0
    assert device.agent.collector.watched() == ()


async def test_only_chosen_folders_are_watched_and_only_while_a_source_is_on(make):
    device = await make()
    assert device.agent.collector.watched() == (device.folder,)
    await device.call("sources.set", source="clamav", on=False, surface="cli")
    assert device.agent.collector.watched() == ()
