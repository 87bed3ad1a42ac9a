"""An agent is built on a home, and repairs what a crash left there."""

import pytest

from agent.app import Overrides, build
from agent.conditions.interface import NoConditions
from agent.conditions.monitor import Monitor
from agent.errors import UserActionError
from agent.rounds.outcome import Outcome
from tests.fakes.device import Device, policy_of_tests


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def test_only_a_persons_device_watches_the_machine(tmp_path):
    for watch_machine, kind in ((True, Monitor), (False, NoConditions)):
        agent = build(
            tmp_path / f"{watch_machine}",
            Overrides(environ={}, policy_place=policy_of_tests(tmp_path / "none")),
            watch_machine=watch_machine,
        )
        assert type(agent.conditions) is kind
        agent.close()


async def test_overrides_replace_the_agents_own_parts(device):
    await device.join()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.worker.calls == ["train", "seal"]
    assert device.agent.keys.key_store() is device.keystore


async def test_p10_a_trained_update_does_not_survive_a_crash(device):
    await device.join()
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.WAITING
    assert list((device.home / "scratch").iterdir())
    device.restart()
    assert list((device.home / "scratch").iterdir()) == []


async def test_p2_a_withdrawal_that_a_crash_cut_short_is_finished_at_the_start(device):
    await device.join()
    device.server.fail("send_update", UserActionError("OFFLINE", "", ""))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert device.agent.ledger.unsent()
    runner = device.agent.runner

    async def killed():
        raise ZeroDivisionError

    runner.withdraw = killed
    with pytest.raises(ZeroDivisionError):
        await device.call("consent.withdraw", surface="cli")
    assert device.agent.ledger.unsent()
    device.restart()
    assert device.agent.ledger.unsent() == []


def test_a_home_that_cannot_be_created_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserActionError) as raised:
        build(tmp_path / "file" / "home")
    assert raised.value.code == "HOME_UNUSABLE"
