"""A finished update is kept, waits, and is deleted once it can no longer be used."""

from agent.rounds.outcome import Outcome


async def test_a_finished_update_waits_and_can_be_discarded(device):
    await device.join()
    result = await device.run_cycle(hold_s=600)
    assert (result.outcome, result.reasons[0].until) == (
        Outcome.WAITING,
        device.clock.now() + 600,
    )
    assert device.agent.ledger.charges() == []
    await device.call("discard")
    assert list((device.home / "scratch").iterdir()) == []
    await device.run_cycle(hold_s=600)
    device.clock.advance(600)
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.SENT
    assert device.worker.calls == ["train", "train", "seal"]
