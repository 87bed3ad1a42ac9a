"""The budget gate bounds what a device can spend, whatever the server does (P4, P5)."""

import contextlib
import sqlite3
from dataclasses import replace

import pytest

from agent.errors import PeerError, UserActionError
from agent.privacy.budget import FAST_SPENDING, PRODUCT_SPENDING
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import rho_units
from agent.reasons import ReasonCode
from agent.rounds import budget_gate
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.budget_gate import DAY_S, MAX_CHARGES_PER_DAY, BudgetGate
from agent.rounds.outcome import Outcome
from tests.fakes.charges import record_charge
from tests.fakes.group_aggregator import LIMITS
from tests.fakes.in_process_fleet import InProcessFleet, outcomes

OTHER_MODEL = {"model_version": 0, "model_digest": "00" * 32}


def gate_of(device, limits=DeviceLimits):
    agent = device.agent
    return BudgetGate(device.clock, agent.effective, agent.ledger, agent.values, limits)


def most_a_round(device):
    return device.agent.effective.budget().rho_units // PRODUCT_SPENDING.round_parts


def priced(device, price):
    """Let the server offer its round at this price or a little less."""
    device.server.price = price
    device.server.config = device.server.plan(device.server.config.round_id)
    return rho_units(device.server.config)


def code_of(refused):
    return None if refused is None else refused.reasons[0].code


def signed_offer(device, at=None):
    """An offer comes that the server has signed at this time; now by default."""
    agreed = AgreedClock(device.clock, device.agent.values)
    agreed.note(device.clock.now() if at is None else at)


@pytest.fixture
async def gate(device):
    await device.join()
    return gate_of(device)


def ask(device, gate, *, announced=True):
    """The gate's refusal for the server's round, or for one that is not announced yet."""
    config = device.server.config
    return gate.refusal(
        config.task_id, config.model_version, config.model_digest, config if announced else None
    )


# What the gate decides


@pytest.mark.parametrize("announced", [True, False])
async def test_a_device_without_charges_may_take_part(device, gate, announced):
    assert ask(device, gate, announced=announced) is None


@pytest.mark.parametrize("announced", [True, False])
async def test_p4_a_day_gets_a_tenth_of_the_budget_and_says_when_it_is_over(
    device, gate, announced
):
    device.agent.effective.keep_task(device.server.task.to_json())
    most, first = most_a_round(device), device.clock.now()
    record_charge(device, rho_units=most)
    refused = ask(device, gate, announced=announced)
    assert (refused.outcome, code_of(refused)) == (Outcome.WAITING, ReasonCode.DAY_SPENT)
    assert refused.may_take_part_at == refused.reasons[0].until == first + DAY_S
    assert gate.allows_another(device.server.version, device.server.digest)
    device.clock.advance(DAY_S - 1)
    assert ask(device, gate, announced=announced) is not None
    device.clock.advance(1)
    assert ask(device, gate, announced=announced) is None


@pytest.mark.parametrize("set_by", [-(10**8), 10**8], ids=["back", "ahead"])
async def test_p4_setting_the_clock_frees_nothing_and_locks_nobody_out(device, gate, set_by):
    assert ask(device, gate) is None
    await device.run_cycle()
    (charge,) = device.agent.ledger.charges()
    assert (charge.start, charge.uptime_s) == ("first start", device.clock.uptime().seconds)
    priced(device, most_a_round(device))
    device.clock.wall += set_by
    refused = ask(device, gate)
    assert code_of(refused) is ReasonCode.DAY_SPENT
    assert refused.may_take_part_at == device.clock.now() + DAY_S
    device.clock.advance(DAY_S)
    assert ask(device, gate) is None


async def test_p4_after_a_restart_the_clock_of_its_first_offer_counts(device, gate):
    await device.run_cycle()
    priced(device, most_a_round(device))
    device.clock.advance(3600)
    device.clock.restart_machine()
    assert code_of(ask(device, gate)) is ReasonCode.DAY_SPENT
    device.clock.wall += 10 * DAY_S
    assert code_of(ask(device, gate)) is ReasonCode.DAY_SPENT
    device.clock.advance(DAY_S - 3600)
    assert ask(device, gate) is None


async def test_p4_a_round_that_costs_too_much_is_refused_with_its_own_reason(device, gate):
    everything = device.agent.effective.budget().rho_units
    assert priced(device, everything) > most_a_round(device)
    refused = ask(device, gate)
    assert (refused.outcome, refused.round_id) == (Outcome.WAITING, 1)
    (reason,) = refused.reasons
    assert reason.code is ReasonCode.ROUND_TOO_EXPENSIVE
    assert reason.text == (
        "The server asks for ε 1 in one round; this device gives at most ε 0.288."
    )
    assert reason.until == device.clock.now() + DAY_S
    # Until then it asks for no round either. Afterwards the server may have changed its mind.
    assert code_of(ask(device, gate, announced=False)) is ReasonCode.ROUND_TOO_EXPENSIVE
    device.clock.advance(DAY_S)
    assert ask(device, gate, announced=False) is None
    assert code_of(ask(device, gate)) is ReasonCode.ROUND_TOO_EXPENSIVE
    priced(device, most_a_round(device))
    assert ask(device, gate) is None


async def test_p4_a_model_gets_a_quarter_and_then_the_person_is_asked(device, gate):
    device.agent.effective.keep_task(device.server.task.to_json())
    most, model = most_a_round(device), (device.server.version, device.server.digest)
    priced(device, most)
    with pytest.raises(UserActionError, match="waits for your permission"):
        gate.go_on()
    for _ in range(2):
        assert ask(device, gate) is None
        assert gate.allows_another(*model)
        record_charge(device, rho_units=most)
        device.clock.advance(DAY_S)
    for announced in (True, False):
        refused = ask(device, gate, announced=announced)
        assert code_of(refused) is ReasonCode.MODEL_SPENT
        assert refused.reasons[0].until is None
    assert not gate.allows_another(*model)
    assert code_of(gate.spent(device.server.task.task_id)) is ReasonCode.MODEL_SPENT
    gate.go_on()
    assert ask(device, gate) is None
    with pytest.raises(UserActionError) as raised:
        gate.go_on()
    assert raised.value.code == "NOT_ASKED"
    # One share more, and not more than that.
    for _ in range(3):
        assert ask(device, gate) is None
        record_charge(device, rho_units=most)
        device.clock.advance(DAY_S)
    assert code_of(ask(device, gate)) is ReasonCode.MODEL_SPENT
    device.server.next_round()
    assert ask(device, gate) is None


@pytest.mark.parametrize("changes", [{"model_version": 99}, {"model_digest": "ab" * 32}])
async def test_p4_only_other_weights_under_a_higher_version_are_a_new_model(device, gate, changes):
    """A server that repeats a version, or signs old weights again, brings nothing new."""
    most = most_a_round(device)
    priced(device, most)
    for _ in range(2):
        record_charge(device, rho_units=most)
        device.clock.advance(DAY_S)
    config = device.server.config
    model = {"model_version": config.model_version, "model_digest": config.model_digest, **changes}
    again = gate.refusal(config.task_id, model["model_version"], model["model_digest"], config)
    assert code_of(again) is ReasonCode.MODEL_SPENT


async def test_p4_a_day_has_a_cap_on_rounds_that_says_when_it_ends(device, gate):
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
    assert reason.until == device.clock.now() + DAY_S
    device.clock.advance(DAY_S + 1)
    assert ask(device, gate) is None


@pytest.mark.parametrize("announced", [True, False])
async def test_p5_a_spent_budget_is_refused_and_says_when_it_pays_again(device, gate, announced):
    everything = device.agent.effective.budget().rho_units
    signed_offer(device)
    ask(device, gate)
    spent_at = record_charge(device, rho_units=everything, **OTHER_MODEL).at
    refused = ask(device, gate, announced=announced)
    assert refused.outcome is Outcome.BUDGET_SPENT
    period_s = device.agent.effective.budget().period_days * DAY_S
    assert refused.may_take_part_at == refused.reasons[0].until == spent_at + period_s
    device.clock.advance(period_s)
    assert ask(device, gate, announced=announced).outcome is Outcome.BUDGET_SPENT
    signed_offer(device)
    assert ask(device, gate, announced=announced) is None


async def test_p5_a_clock_set_forward_over_a_restart_renews_no_period(device, gate):
    everything, year = device.agent.effective.budget().rho_units, 366 * DAY_S
    right = device.clock.now()
    signed_offer(device)
    stamp = AgreedClock(device.clock, device.agent.values).now()
    record_charge(device, rho_units=everything, agreed_s=stamp, **OTHER_MODEL)
    device.clock.wall += year
    device.clock.restart_machine()
    signed_offer(device, right + 3600)
    refused = ask(device, gate)
    assert refused.outcome is Outcome.BUDGET_SPENT
    assert refused.may_take_part_at > device.clock.now() + 364 * DAY_S
    # Once the server has seen the year pass as well, the budget is new.
    device.clock.advance(year)
    signed_offer(device, right + 3600 + year)
    assert ask(device, gate) is None


async def test_p5_a_server_that_signs_a_later_time_renews_no_period(device, gate):
    everything = device.agent.effective.budget().rho_units
    signed_offer(device)
    stamp = AgreedClock(device.clock, device.agent.values).now()
    record_charge(device, rho_units=everything, agreed_s=stamp, **OTHER_MODEL)
    for years in (1, 2, 3):
        device.clock.advance(DAY_S)
        signed_offer(device, device.clock.now() + years * 366 * DAY_S)
        assert ask(device, gate).outcome is Outcome.BUDGET_SPENT


async def test_p5_without_an_announced_round_the_last_offered_price_counts(device, gate):
    price = rho_units(device.server.config)
    assert ask(device, gate) is None  # the gate now knows the price
    left = price - 1
    record_charge(
        device,
        rho_units=device.agent.effective.budget().rho_units - left,
        **OTHER_MODEL,
    )
    device.clock.advance(DAY_S)
    assert ask(device, gate, announced=False).outcome is Outcome.BUDGET_SPENT
    device.restart()
    task_id = device.server.config.task_id
    assert gate_of(device).spent(task_id).outcome is Outcome.BUDGET_SPENT
    assert gate_of(device).spent("another task") is None  # one unit is left for it


async def test_without_an_offer_the_last_charge_of_the_task_gives_the_price(device, gate):
    record_charge(device, rho_units=most_a_round(device) // 2 + 1)
    task_id = device.server.config.task_id
    assert code_of(gate.spent(task_id)) is ReasonCode.DAY_SPENT
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


async def test_p4_an_abort_after_the_charge_costs_no_more_than_a_day_allows(fleet):
    """Each seal after an abort has fresh noise and the full price, and the caps end it."""
    fleet.server.price = 2**40 // 720  # a twenty-second part of the budget
    fleet.server.same_model_again()
    await fleet.join()
    fleet.server.lies["masked"] = lambda *_: lie()

    def lie():
        raise PeerError("ROUND_CLOSED", "The group ended.", "")

    first, seen = fleet.devices[0], []
    for _ in range(4):
        for _ in range(3):
            results = await fleet.run_cycles(group_wait_s=60)
            (outcome,) = set(outcomes(results))
            seen.append(outcome)
            if outcome == "waiting":
                reason = results[0].reasons[0]
                assert (reason.code, reason.until) in (
                    (ReasonCode.DAY_SPENT, fleet.clock.now() + DAY_S),
                    (ReasonCode.MODEL_SPENT, None),
                )
            fleet.server.same_model_again()
        fleet.clock.advance(DAY_S)
    # Two a day; the sixth would be more than a quarter of the budget.
    assert seen[:6] == ["round_closed", "round_closed", "waiting"] * 2
    assert seen[6:] == ["round_closed", *["waiting"] * 5]
    assert first.agent.runner.updates.current is None
    bodies = {charge.body_sha256 for charge in first.agent.ledger.charges()}
    assert len(bodies) == 5
    assert first.worker.calls == ["train", *["seal"] * 5]
    assert (await first.call("status"))["state"] == "attention"
    await first.call("consent.go_on")
    assert (await first.call("status"))["reasons"] == []


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


async def test_p5_a_spent_budget_refuses_the_next_group_after_a_restart_too(tmp_path):
    fleet = InProcessFleet(tmp_path, limits=lambda: replace(LIMITS, spending=FAST_SPENDING))
    fleet.server.price = 2**40 // 200
    fleet.server.same_model_again()
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
    fleet.close()


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
    """With a round a day at the highest price that a device pays."""
    await device.join()
    priced(device, most_a_round(device))
    outcomes = []
    for _ in range(12):
        outcomes.append((await device.run_cycle()).outcome)
        device.clock.advance(DAY_S)
        device.server.next_round()
    assert outcomes[0] is Outcome.SENT
    assert outcomes[-1] is Outcome.BUDGET_SPENT
    status = await device.call("status")
    assert status["budget"]["epsilon_ledger"] <= 1.0
    assert status["budget"]["may_take_part_at"] > device.clock.now()
    assert "BUDGET_SPENT" in [reason["code"] for reason in status["reasons"]]
    assert len(device.server.updates) == outcomes.count(Outcome.SENT)
