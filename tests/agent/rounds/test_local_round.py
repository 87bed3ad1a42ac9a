"""A local round seals, charges and sends at once, and costs nothing when it closed meanwhile."""

from agent.reasons import ReasonCode
from agent.rounds.outcome import Outcome
from tests.fakes.charges import record_charge


async def test_a_round_that_is_open_takes_the_update(device):
    await device.join()
    result = await device.run_cycle()
    (body,) = device.server.updates.values()
    assert (result.outcome, result.round_id, result.rows_used, result.bytes_up) == (
        Outcome.SENT,
        1,
        20,
        len(body),
    )
    (charge,) = device.agent.ledger.charges()
    assert (charge.mode, charge.rho_units) == ("local", charge.rho_local_units)


async def test_p4_a_round_that_closed_during_the_sealing_costs_nothing(device):
    await device.join()
    running = await device.cycle_suspended_at("seal")
    device.clock.advance(3600)
    device.worker.gates["seal"].set()
    result = await running
    assert result.outcome is Outcome.ROUND_CLOSED
    assert "Nothing was charged" in result.text
    assert device.agent.ledger.charges() == []
    assert "send_update" not in device.server.calls


async def test_p5_the_budget_gate_is_asked_again_before_the_charge(device):
    await device.join()
    running = await device.cycle_suspended_at("seal")
    record_charge(device, rho_units=device.agent.effective.budget().rho_units // 4)
    device.worker.gates["seal"].set()
    result = await running
    assert (result.outcome, result.reasons[0].code) == (Outcome.WAITING, ReasonCode.MODEL_SPENT)
    assert len(device.agent.ledger.charges()) == 1
    assert "send_update" not in device.server.calls
    assert device.agent.runner.updates.current is None
