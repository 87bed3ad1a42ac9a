"""The budget gate bounds what a device can spend, whatever the server does (P4, P5)."""

import contextlib
import sqlite3

import pytest

from agent.errors import PeerError, UserActionError
from agent.privacy.zcdp import rho_units
from agent.rounds import budget_gate
from agent.rounds.budget_gate import DAY_S, MAX_CHARGES_PER_DAY, MAX_CHARGES_PER_MODEL, BudgetGate
from agent.rounds.outcome import Outcome
from tests.fakes.charges import record_charge
from tests.fakes.in_process_fleet import outcomes


def gate_of(device):
    agent = device.agent
    return BudgetGate(device.clock, agent.effective, agent.ledger, agent.values)


@pytest.fixture
async def gate(device):
    await device.join()
    return gate_of(device)


def ask(device, gate, *, announced=True):
    """The gate's refusal for the server's round, or for one that is not announced yet."""
    config = device.server.config
    return gate.refusal(config.task_id, config.model_digest, config if announced else None)


# What the gate decides


@pytest.mark.parametrize("announced", [True, False])
async def test_a_device_without_charges_may_take_part(device, gate, announced):
    assert ask(device, gate, announced=announced) is None


async def test_p4_a_model_is_charged_for_twice_at_most(device, gate):
    digest = device.server.config.model_digest
    for _ in range(MAX_CHARGES_PER_MODEL):
        assert ask(device, gate) is None
        assert gate.allows_another(digest)
        record_charge(device)
    refused = ask(device, gate)
    assert (refused.outcome, refused.round_id) == (Outcome.WAITING, 1)
    assert not gate.allows_another(digest)
    device.server.next_round()
    assert ask(device, gate) is None


async def test_p4_a_day_has_a_cap_that_says_when_it_ends(device, gate):
    first = device.clock.now()
    for number in range(MAX_CHARGES_PER_DAY):
        assert ask(device, gate) is None
        record_charge(device, model_digest=f"{number:064x}")
        device.clock.advance(60)
    refused = ask(device, gate)
    assert (refused.outcome, refused.reasons[0].until) == (Outcome.WAITING, first + DAY_S)
    device.clock.advance(first + DAY_S - device.clock.now() - 1)
    assert ask(device, gate) is not None
    device.clock.advance(1)
    assert ask(device, gate) is None


async def test_a_day_has_an_upload_limit_that_names_its_setting(device, gate):
    device.agent.effective.set("network.bytes_per_day", 100_000)
    record_charge(device, body=bytes(99_999), model_digest="00" * 32)
    assert ask(device, gate) is None
    record_charge(device, body=b"1", model_digest="11" * 32)
    (reason,) = ask(device, gate).reasons
    assert reason.setting == "network.bytes_per_day"
    device.clock.advance(DAY_S + 1)
    assert ask(device, gate) is None


@pytest.mark.parametrize("announced", [True, False])
async def test_p5_a_spent_budget_is_refused_and_says_when_it_pays_again(device, gate, announced):
    everything = device.agent.effective.budget().rho_units
    spent_at = record_charge(device, rho_units=everything, model_digest="00" * 32).at
    refused = ask(device, gate, announced=announced)
    assert refused.outcome is Outcome.BUDGET_SPENT
    period_s = device.agent.effective.budget().period_days * DAY_S
    assert refused.may_take_part_at == refused.reasons[0].until == spent_at + period_s
    device.clock.advance(period_s)
    assert ask(device, gate, announced=announced) is None


async def test_p5_without_an_announced_round_the_last_offered_price_counts(device, gate):
    price = rho_units(device.server.config)
    assert ask(device, gate) is None  # the gate now knows the price
    left = price - 1
    record_charge(
        device,
        rho_units=device.agent.effective.budget().rho_units - left,
        model_digest="00" * 32,
    )
    assert ask(device, gate, announced=False).outcome is Outcome.BUDGET_SPENT
    device.restart()
    task_id = device.server.config.task_id
    assert gate_of(device).spent(task_id).outcome is Outcome.BUDGET_SPENT
    assert gate_of(device).spent("another task") is None  # one unit is left for it


async def test_without_an_offer_the_last_charge_of_the_task_gives_the_price(device, gate):
    units = device.agent.effective.budget().rho_units
    record_charge(device, rho_units=units // 2 + 1)
    task_id = device.server.config.task_id
    assert gate.spent(task_id).outcome is Outcome.BUDGET_SPENT
    assert gate.spent("another task") is None


async def test_p5_an_altered_ledger_pays_for_nothing(device, gate):
    record_charge(device)
    with contextlib.closing(sqlite3.connect(device.home / "agent.sqlite3")) as raw, raw:
        raw.execute("DROP TRIGGER charge_no_update")
        raw.execute("UPDATE charge SET body = replace(body, ':1000', ':1')")
    for call in (lambda: ask(device, gate), lambda: gate.spent(device.server.config.task_id)):
        with pytest.raises(UserActionError) as raised:
            call()
        assert raised.value.code == "CHAIN_BROKEN"


# What rounds can cost


async def test_p4_an_abort_after_the_charge_allows_one_more_seal_with_fresh_noise(fleet):
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


async def test_p4_any_number_of_aborts_before_the_charge_costs_nothing(fleet):
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


async def test_p5_a_spent_budget_refuses_the_next_group_after_a_restart_too(
    fleet,
):
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


async def test_p4_a_server_with_a_new_model_for_every_aborted_round_reaches_the_cap_of_a_day(
    fleet, monkeypatch
):
    """Each aborted round on its own model costs a charge; the budget and the daily cap end that."""
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


async def test_p5_a_spent_budget_ends_taking_part_and_says_until_when(device):
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
