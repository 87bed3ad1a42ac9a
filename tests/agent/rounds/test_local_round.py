"""A local round seals, charges and sends at once."""

from agent.rounds.outcome import Outcome


async def test_p4_nothing_is_charged_for_a_round_that_closed_while_the_update_was_made(device):
    await device.join()
    running = await device.cycle_waiting_in("seal")
    device.clock.advance(3600)
    device.worker.gates["seal"].set()
    result = await running
    assert (result.outcome, "Nothing was charged" in result.text) == (
        Outcome.ROUND_CLOSED,
        True,
    )
    assert device.agent.ledger.charges() == []
    assert "send_update" not in device.server.calls
