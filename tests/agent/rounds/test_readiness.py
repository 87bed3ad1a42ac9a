"""The person's decisions come before the machine's state, and each has its reason."""

from dataclasses import replace

import pytest

from agent.conditions.interface import NoConditions
from agent.reasons import Reason, ReasonCode
from tests.fakes.device import CONFINED, Device


class Laptop(NoConditions):
    def may_train(self):
        return (Reason(ReasonCode.ON_BATTERY, "On battery."),)

    def may_send(self):
        return (Reason(ReasonCode.METERED, "Metered."),)


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path, conditions=Laptop())
    yield device
    device.close()


def codes(reasons):
    return [reason.code.value for reason in reasons]


async def test_without_consent_there_is_a_reason_against_everything(device):
    readiness = device.agent.readiness
    assert codes(readiness.blocking_reasons()) == ["NO_CONSENT"]
    assert codes(readiness.training_reasons()) == ["NO_CONSENT", "ON_BATTERY"]
    assert codes(readiness.sending_reasons()) == ["NO_CONSENT", "METERED"]


async def test_a_pause_blocks_both_and_says_until_when(device):
    await device.grant()
    await device.call("pause", seconds=60)
    (reason,) = device.agent.readiness.blocking_reasons()
    assert (reason.code, reason.until) == (ReasonCode.USER_PAUSED, device.clock.now() + 60)
    await device.call("pause")
    (reason,) = device.agent.readiness.blocking_reasons()
    assert reason.until is None


async def test_p12_nothing_collects_files_where_the_sandbox_is_incomplete(tmp_path):
    offered = replace(CONFINED, landlock=0)
    device = Device(tmp_path, conditions=Laptop(), offered=lambda: offered)
    try:
        await device.grant()
        (reason,) = device.agent.readiness.collecting_reasons()
        assert (reason.code, reason.overridable) == (ReasonCode.SANDBOX_INCOMPLETE, False)
        assert "Landlock" in reason.text
        assert codes(device.agent.readiness.training_reasons()) == ["ON_BATTERY"]
        status = device.agent.status()
        assert reason.text in status.notes
        assert "SANDBOX_INCOMPLETE" not in codes(status.reasons), "training does not wait for it"
    finally:
        device.close()


async def test_a_whole_sandbox_lets_a_person_who_agreed_have_files_collected(device):
    assert codes(device.agent.readiness.collecting_reasons()) == ["NO_CONSENT"]
    await device.grant()
    assert device.agent.readiness.collecting_reasons() == ()


async def test_with_consent_only_the_machines_state_counts(device):
    await device.grant()
    assert device.agent.readiness.blocking_reasons() == ()
    assert codes(device.agent.readiness.training_reasons()) == ["ON_BATTERY"]
    assert codes(device.agent.readiness.sending_reasons()) == ["METERED"]
