"""The Status and the reasons in it: in the right order, and never better than the truth."""

import sqlite3

import pytest

from agent.conditions.interface import NoConditions
from agent.errors import UserActionError
from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, Status
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def codes(device):
    return [reason.code.value for reason in device.agent.status().reasons]


async def test_reasons_appear_in_order_of_precedence(device):
    assert codes(device) == ["NO_CONSENT", "NOT_ENROLLED", "NOTHING_TO_LEARN"]
    await device.call("pause")
    assert codes(device) == ["NO_CONSENT", "USER_PAUSED", "NOT_ENROLLED", "NOTHING_TO_LEARN"]


def test_status_travels_unchanged(device):
    status = device.agent.status()
    assert Status.from_json(status.to_json()) == status


@pytest.mark.parametrize(
    ("code", "reason", "state"),
    [
        ("KEYRING_LOCKED", "KEYRING_LOCKED", AgentState.ATTENTION),
        ("KEYRING_ABSENT", "KEYRING_ABSENT", AgentState.ATTENTION),
        ("KEYRING_DENIED", "KEYRING_DENIED", AgentState.ATTENTION),
        ("KEYRING_TOO_LARGE", "KEYRING_TOO_LARGE", AgentState.ATTENTION),
        ("KEYRING_ITEM_LOCKED", "KEYRING_ITEM_LOCKED", AgentState.ATTENTION),
        ("KEYRING_NO_DEFAULT", "KEYRING_NO_DEFAULT", AgentState.ATTENTION),
        ("KEYRING_DEFAULT_GONE", "KEYRING_NO_DEFAULT", AgentState.ATTENTION),
        ("KEYRING_TIMEOUT", "KEYRING_TIMEOUT", AgentState.ATTENTION),
        ("PASSPHRASE_MISSING", "KEY_STORE_CLOSED", AgentState.ATTENTION),
        ("PASSPHRASE_WRONG", "KEY_STORE_CLOSED", AgentState.ATTENTION),
        ("OFFLINE", "OFFLINE", AgentState.WAITING),
        ("SERVER_CERTIFICATE", "CYCLE_FAILED", AgentState.ERROR),
        ("REVOKED", "CYCLE_FAILED", AgentState.ERROR),
        ("TOKEN_UNKNOWN", "CYCLE_FAILED", AgentState.ERROR),
        ("SERVER_BUSY", "CYCLE_FAILED", AgentState.WAITING),
    ],
)
async def test_a_fault_is_a_reason_with_its_time_until_a_cycle_succeeds(
    device, code, reason, state
):
    await device.join()
    device.server.fail("offer", UserActionError(code, "It broke.", "Fix it."))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert codes(device) == [reason]
    status = device.agent.status()
    assert (status.state, status.reasons[0].text) == (state, "It broke. Fix it.")
    assert status.reasons[0].at == device.clock.now()
    # The next process knows it too, until a cycle of its own ends.
    device.clock.advance(60)
    device.restart()
    again = device.agent.status()
    assert (again.state, again.reasons) == (status.state, status.reasons)
    device.server.fail("offer", None)
    await device.run_cycle()
    assert (codes(device), device.agent.status().state) == ([], AgentState.WAITING)


async def test_stale_consent_needs_attention(device):
    await device.grant()
    await device.call("enroll", invitation=device.server.invitation())
    assert device.agent.status().state is AgentState.ATTENTION


def test_conditions_appear_with_their_readings(tmp_path):
    class Laptop(NoConditions):
        def may_train(self):
            return (Reason(ReasonCode.ON_BATTERY, "On battery.", "80 %", "UPower", "battery.rule"),)

        def may_send(self):
            return (
                Reason(
                    ReasonCode.METERED,
                    "Metered network.",
                    "yes",
                    "NetworkManager",
                    "network.metered",
                ),
            )

    device = Device(tmp_path, conditions=Laptop())
    assert codes(device)[-3:] == ["ON_BATTERY", "NOTHING_TO_LEARN", "METERED"]
    device.close()


async def test_p5_a_ledger_that_was_altered_counts_as_spent(device):
    await device.join()
    await device.run_cycle()
    assert 0 < device.agent.status().budget.epsilon_ledger < 1
    device.agent.close()
    raw = sqlite3.connect(device.home / "agent.sqlite3")
    raw.execute("DROP TRIGGER charge_no_update")
    raw.execute("UPDATE charge SET body = '{}'")
    raw.commit()
    raw.close()
    device.start()
    device.server.next_round()
    budget = device.agent.status().budget
    assert budget.epsilon_ledger == budget.epsilon_period
    assert codes(device) == ["BUDGET_SPENT"]
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "CHAIN_BROKEN"
    assert len(device.server.updates) == 1
    page = await device.call("ledger", verify=True)
    assert (page["verified"], len(page["problems"])) == (False, 1)
