"""Every reason has its place; the first one is the headline."""

import pytest

from agent.conditions.interface import NoConditions
from agent.errors import UserActionError
from agent.reasons import Reason, ReasonCode
from agent.rounds.cycle_reasons import KEYRING_REASONS
from tests.fakes.device import Device


def codes(device):
    return [reason.code for reason in device.agent.status().reasons]


async def test_reasons_appear_in_the_order_of_their_codes(device):
    await device.call("pause")
    found = codes(device)
    assert found == sorted(found, key=list(ReasonCode).index)
    assert found[0] is ReasonCode.NO_CONSENT


async def test_a_code_appears_once_and_the_first_to_decide_explains_it(tmp_path):
    class Paused(NoConditions):
        def may_train(self):
            return (Reason(ReasonCode.USER_PAUSED, "From the machine."),)

        may_send = may_train

    device = Device(tmp_path, conditions=Paused())
    await device.call("pause")
    (reason,) = [r for r in device.agent.status().reasons if r.code is ReasonCode.USER_PAUSED]
    assert reason.text == "You paused it."
    device.close()


async def test_a_reason_of_the_last_cycle_ends_with_its_time(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    (hold,) = device.agent.status().reasons
    assert hold.code is ReasonCode.HOLD
    device.clock.advance(hold.until - device.clock.now())
    assert codes(device) == []


@pytest.mark.parametrize("code", KEYRING_REASONS)
async def test_every_error_of_the_key_store_is_a_reason_to_wait(device, code):
    await device.join()
    device.agent.cycles.failed(UserActionError(code, "No.", "Do this."))
    (reason,) = device.agent.status().reasons
    assert (reason.code, reason.text) == (KEYRING_REASONS[code], "No. Do this.")


async def test_without_a_round_the_reason_ends_when_the_next_cycle_is_due(device):
    await device.join()
    await device.run_cycle()
    await device.run_cycle()
    device.agent.cycles.next_at = 12345
    (reason,) = device.agent.status().reasons
    assert (reason.code, reason.until) == (ReasonCode.NO_ROUND, 12345)
