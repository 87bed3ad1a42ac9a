"""What aborted rounds can cost at most: nothing before the charge, one re-seal for a model, the cap
of a day, the budget.
"""

from agent.errors import PeerError
from agent.rounds import budget_gate
from agent.rounds.outcome import Outcome
from tests.fakes.in_process_fleet import outcomes


async def test_p4_an_abort_after_the_charge_allows_one_re_seal_with_fresh_noise(
    fleet,
):
    await fleet.join()
    fleet.server.lies["masked"] = lambda *_: lie()

    def lie():
        raise PeerError("ROUND_CLOSED", "The group ended.", "")

    bodies = []
    for attempt in range(1, 5):
        results = await fleet.run_cycles(group_wait_s=60 if attempt < 3 else 0)
        charges = fleet.devices[0].agent.ledger.charges()
        if attempt < 3:
            assert outcomes(results) == ["round_closed"] * 3
            assert len(charges) == attempt
            bodies.append(charges[-1].body_sha256)
        else:
            assert outcomes(results) == ["waiting"] * 3
            assert "may for this model" in results[0].text
            assert len(charges) == 2
        assert (fleet.devices[0].agent.runner.updates.current is None) == (attempt >= 2)
        fleet.server.same_model_again()
    assert len(set(bodies)) == 2
    assert len({charge.attempt for charge in fleet.devices[0].agent.ledger.charges()}) == 2
    assert fleet.devices[0].worker.calls == ["train", "seal", "seal"]


async def test_p4_aborts_before_the_charge_cost_nothing_however_many(fleet):
    await fleet.join()

    def lie(*_):
        raise PeerError("ROUND_CLOSED", "The group ended.", "")

    fleet.server.lies["shares"] = lie
    for _ in range(4):
        assert outcomes(await fleet.run_cycles()) == ["round_closed"] * 3
        fleet.server.same_model_again()
    assert all(device.agent.ledger.charges() == [] for device in fleet.devices)
    fleet.server.lies.clear()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3
    assert fleet.devices[0].worker.calls == ["train", "seal"]


async def test_p5_a_spent_budget_refuses_the_next_meeting_and_says_when_also_after_a_restart(fleet):
    await fleet.join()
    seen = []
    for _ in range(9):
        seen.append(set(outcomes(await fleet.run_cycles(group_wait_s=30))))
        fleet.server.next_round()
    assert seen[0] == {"sent"}
    assert seen[-1] == {"budget_spent"}
    device = fleet.devices[0]
    for _ in range(2):
        status = await device.call("status")
        assert status["budget"]["epsilon_ledger"] <= 1.0
        assert status["budget"]["epsilon_local"] > status["budget"]["epsilon_ledger"]
        assert status["budget"]["may_take_part_at"] > fleet.clock.now()
        reason = next(reason for reason in status["reasons"] if reason["code"] == "BUDGET_SPENT")
        assert reason["until"] == status["budget"]["may_take_part_at"]
        device.restart()
    assert device.worker.calls.count("train") == sum("sent" in one for one in seen)


async def test_p4_a_server_with_a_new_model_for_every_lie_meets_the_cap_of_a_day(
    fleet, monkeypatch
):
    """Each aborted round on a model of its own costs one charge: the budget and the cap of charged
    rounds a day end that.
    """
    monkeypatch.setattr(budget_gate, "MAX_CHARGES_PER_DAY", 3)

    def lie(*_):
        raise PeerError("ROUND_CLOSED", "The group ended.", "")

    await fleet.join()
    fleet.server.lies["masked"] = lie
    for _ in range(3):
        assert outcomes(await fleet.run_cycles()) == ["round_closed"] * 3
        fleet.server.next_round()
    results = await fleet.run_cycles(group_wait_s=0)
    assert outcomes(results) == ["waiting"] * 3
    assert "may in a day" in results[0].text
    assert results[0].reasons[0].until > fleet.clock.now()
    assert [len(device.agent.ledger.charges()) for device in fleet.devices] == [3, 3, 3]
    fleet.clock.advance(24 * 3600 + 1)
    fleet.server.lies.clear()
    fleet.server.next_round()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3


async def test_p5_the_wall_holds_and_says_when(device):
    await device.join()
    outcomes = []
    for _ in range(12):
        outcomes.append((await device.run_cycle()).outcome)
        device.server.next_round()
    assert outcomes[0] is Outcome.SENT
    assert outcomes[-1] is Outcome.BUDGET_SPENT
    status = await device.call("status")
    assert status["budget"]["epsilon_ledger"] <= 1.0
    assert status["budget"]["may_take_part_at"] > device.clock.now()
    assert "BUDGET_SPENT" in [reason["code"] for reason in status["reasons"]]
    assert len(device.server.updates) == outcomes.count(Outcome.SENT)
