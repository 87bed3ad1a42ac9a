"""How a cycle ended is known until it no longer matters."""

import pytest

from agent.conditions.interface import NoConditions
from agent.errors import UserActionError
from agent.files import atomic_file
from agent.rounds.outcome import Outcome
from tests.fakes.device import Device


class Machine(NoConditions):
    looks = 0

    async def poll(self):
        self.looks += 1


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def device(tmp_path, machine):
    device = Device(tmp_path, conditions=machine)
    yield device
    device.close()


async def test_p1_the_machine_is_not_read_without_consent(device, machine):
    await device.call("enroll", invitation=device.server.invitation())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert machine.looks == 0
    await device.grant()
    await device.run_cycle()
    assert machine.looks == 1


async def test_an_error_stays_until_a_cycle_succeeds(device):
    await device.join()
    device.server.fail("offer", UserActionError("OFFLINE", "It broke.", ""))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    cycles = device.agent.cycles
    assert (cycles.error.code, cycles.result) == ("OFFLINE", None)
    device.server.fail("offer", None)
    await device.run_cycle()
    assert (cycles.error, cycles.result.outcome) == (None, Outcome.SENT)


@pytest.mark.parametrize(
    ("hold_s", "outcome", "is_kept"),
    [(600, Outcome.WAITING, False), (None, Outcome.SENT, True)],
    ids=["waiting", "sent"],
)
async def test_a_change_by_the_person_drops_what_a_cycle_waited_for(
    device, hold_s, outcome, is_kept
):
    await device.join()
    assert (await device.run_cycle(hold_s=hold_s)).outcome is outcome
    await device.call("resume")
    assert (device.agent.cycles.result is not None) is is_kept


async def test_every_end_of_a_cycle_is_announced(device):
    await device.join()
    pushed = []
    device.agent.signals.on_change(lambda: pushed.append(device.agent.cycles.result))
    await device.run_cycle()
    assert pushed[-1].outcome is Outcome.SENT
    device.agent.cycles.failed(UserActionError("X", "", ""))
    assert device.agent.cycles.error.code == "X"
    assert len(pushed) >= 2


async def test_an_erasure_forgets_how_the_last_cycle_ended(device):
    await device.join()
    await device.run_cycle()
    device.agent.cycles.failed(UserActionError("X", "", ""))
    await device.call("erase")
    assert (device.agent.cycles.error, device.agent.cycles.result) == (None, None)


async def test_a_reason_is_remembered_across_processes_until_a_cycle_ends(device):
    await device.join()
    device.server.fail("offer", UserActionError("REVOKED", "It is out.", "Ask."))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    noted = device.agent.cycles.reasons()
    device.clock.advance(60)
    device.restart()
    assert device.agent.cycles.reasons() == noted
    device.server.fail("offer", None)
    await device.run_cycle()
    assert device.agent.cycles.reasons() == ()
    device.restart()
    assert device.agent.cycles.reasons() == ()


async def test_a_change_by_the_person_and_an_erasure_clear_the_memory(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    assert (device.home / "last-cycle.json").exists()
    await device.call("resume")
    assert not (device.home / "last-cycle.json").exists()
    device.agent.cycles.failed(UserActionError("X", "", ""))
    assert (device.home / "last-cycle.json").exists()
    await device.call("erase")
    assert not (device.home / "last-cycle.json").exists()


async def test_a_disk_that_is_full_costs_only_the_memory(device, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_file, "write", full)
    device.agent.cycles.failed(UserActionError("X", "No.", ""))
    assert device.agent.cycles.reasons()[0].text == "No."


async def test_the_same_reason_is_written_once_in_five_minutes(device):
    device.agent.cycles.failed(UserActionError("X", "No.", ""))
    first = (device.home / "last-cycle.json").stat().st_mtime_ns
    device.agent.cycles.failed(UserActionError("X", "No.", ""))
    assert (device.home / "last-cycle.json").stat().st_mtime_ns == first
    device.clock.advance(300)
    device.agent.cycles.failed(UserActionError("X", "No.", ""))
    assert (device.home / "last-cycle.json").stat().st_mtime_ns != first
