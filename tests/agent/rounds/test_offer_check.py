"""A device takes up an offer only within what was agreed and within its own bounds."""

from dataclasses import replace

import pytest

from agent.errors import PeerError, UserActionError
from agent.privacy.policy import DeviceLimits
from agent.protocol.messages import Mode, TrainingRows
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.offer_check import OfferCheck
from agent.rounds.outcome import Outcome
from agent.transport.statements import Offer
from tests.fakes.charges import record_charge
from tests.fakes.group_aggregator import LIMITS
from tests.fakes.in_process_fleet import outcomes


@pytest.fixture
async def check(device):
    await device.join()
    agent = device.agent
    gate = BudgetGate(device.clock, agent.effective, agent.ledger, agent.values, DeviceLimits)
    return OfferCheck(agent.ledger, agent.samples, DeviceLimits, gate, lambda: "local")


@pytest.fixture
def offer(device):
    """The server's offer of an open round in local mode."""
    server = device.server
    return Offer(
        "open",
        1800,
        server.task,
        server.version,
        server.digest,
        server.config,
        False,
        device.clock.now(),
    )


def code_of(check, offer, task):
    with pytest.raises(PeerError) as raised:
        check.accepted_round(offer, task)
    return raised.value.code


# Rounds that are accepted


async def test_an_open_round_within_the_bounds_is_accepted(device, check, offer):
    assert check.accepted_round(offer, offer.task) is device.server.config
    assert check.refusal(offer, offer.round, offer.task) is None


async def test_a_local_round_is_open_from_its_first_to_before_its_last_second(device, check, offer):
    config = offer.round
    for now, is_open in (
        (config.opens_at - 1, False),
        (config.opens_at, True),
        (config.closes_at - 1, True),
        (config.closes_at, False),
    ):
        # The server says what time it is; this computer's clock may be days off.
        device.clock.set(-5 * 86_400)
        stated = replace(offer, time=now)
        assert (check.accepted_round(stated, offer.task) is not None) is is_open


async def test_without_a_round_there_is_nothing_to_accept(device, check, offer):
    for stated in (replace(offer, round=None), replace(offer, status="wait")):
        assert check.accepted_round(stated, offer.task) is None
    result = check.refusal(replace(offer, round=None), None, offer.task)
    assert result.outcome is Outcome.NO_ROUND


# Offers that are refused


@pytest.mark.parametrize(
    "change", [{"clip_milli": 9000}, {"min_rows": 1}, {"task_id": "another"}], ids=str
)
async def test_p3_an_offer_of_another_task_is_refused(check, offer, change):
    stated = replace(offer, task=replace(offer.task, **change))
    assert code_of(check, stated, offer.task) == "TASK_CHANGED"


@pytest.mark.parametrize("status", ["open", "wait"])
async def test_p3_a_task_whose_updates_anybody_may_read_is_not_one_with_sums(device, offer, status):
    """The notice, made from the invitation, spoke of sums; the server names its task later."""
    agent = device.agent
    gate = BudgetGate(device.clock, agent.effective, agent.ledger, agent.values, DeviceLimits)
    check = OfferCheck(agent.ledger, agent.samples, DeviceLimits, gate, lambda: "secagg")
    stated = replace(offer, status=status, round=offer.round if status == "open" else None)
    assert code_of(check, stated, offer.task) == "TASK_NOT_AGREED"


@pytest.mark.parametrize("limits", [DeviceLimits, lambda: LIMITS], ids=["product", "test"])
async def test_p3_a_task_with_groups_has_the_witness_of_the_notice(device, offer, limits):
    agent, task = device.agent, replace(offer.task, mode=Mode.SECAGG)
    gate = BudgetGate(device.clock, agent.effective, agent.ledger, agent.values, limits)
    check = OfferCheck(agent.ledger, agent.samples, limits, gate, lambda: "secagg")
    alone = replace(offer, task=task, round=None)
    if limits is DeviceLimits:
        assert code_of(check, alone, task) == "TASK_NOT_AGREED"
    else:
        assert check.accepted_round(alone, task) is None
    witnessed = replace(task, witness="authority")
    assert check.accepted_round(replace(alone, task=witnessed), witnessed) is None


async def test_p3_a_server_that_makes_sums_of_the_invitation_local_gets_nothing(device):
    """It signed an invitation to sums, and registers the device for a task without."""
    task = device.server.task
    device.server.task = replace(task, mode=Mode.SECAGG)
    invitation = device.server.invitation()
    device.server.task = task
    await device.call("enroll", invitation=invitation)
    await device.grant()
    device.add_rows(20)
    with pytest.raises(PeerError) as raised:
        await device.run_cycle()
    assert raised.value.code == "TASK_NOT_AGREED"
    assert not device.server.updates
    assert "train" not in device.worker.calls


@pytest.mark.parametrize(
    "change", [{"model_version": 9}, {"model_digest": "ff" * 32}], ids=["version", "digest"]
)
async def test_an_offer_whose_round_is_on_another_model_is_refused(check, offer, change):
    assert code_of(check, replace(offer, **change), offer.task) == "OFFER_INCONSISTENT"


async def test_p3_a_round_with_too_little_noise_is_refused(check, offer):
    stated = replace(offer, round=replace(offer.round, noise_var=4))
    assert code_of(check, stated, offer.task) == "NOISE_TOO_SMALL"


async def test_p10_a_round_older_than_one_already_paid_for_is_refused(device, check, offer):
    record_charge(device, round_id=2)
    assert code_of(check, offer, offer.task) == "ROUND_OLDER"
    assert check.accepted_round(replace(offer, round=replace(offer.round, round_id=2)), offer.task)


# What ends the cycle before the training


async def test_a_round_already_paid_for_is_not_answered_again(device, check, offer):
    record_charge(device)
    for contributed in (False, True):
        result = check.refusal(replace(offer, contributed=contributed), offer.round, offer.task)
        assert (result.outcome, result.round_id) == (Outcome.ALREADY_CONTRIBUTED, 1)


async def test_p10_a_contribution_that_the_ledger_lacks_makes_the_ledger_count_as_spent(
    device, check, offer
):
    """The home was restored from an older copy: its ledger must not pay a second time."""
    with pytest.raises(UserActionError) as raised:
        check.refusal(replace(offer, contributed=True), offer.round, offer.task)
    assert raised.value.code == "LEDGER_FORKED"
    device.restart()
    with pytest.raises(UserActionError) as raised:
        device.agent.ledger.charges()
    assert raised.value.code == "LEDGER_FORKED"


async def test_a_spent_budget_ends_the_cycle(device, check, offer):
    record_charge(
        device, round_id=0, rho_units=device.agent.effective.budget().rho_units, model_digest=""
    )
    result = check.refusal(offer, offer.round, offer.task)
    assert result.outcome is Outcome.BUDGET_SPENT


async def test_too_few_rows_are_not_trained_on(device):
    await device.call("enroll", invitation=device.server.invitation())
    await device.grant()
    device.add_rows(9)
    result = await device.run_cycle()
    assert (result.outcome, result.reasons[0].reading) == (Outcome.NOTHING_TO_LEARN, "9 rows")
    assert device.worker.calls == []


async def test_a_task_of_benign_rows_counts_no_others(device, check, offer):
    counts = device.agent.samples.counts()
    task = replace(offer.task, rows=TrainingRows.BENIGN, min_rows=counts.benign + 1)
    assert counts.total >= task.min_rows
    benign = counts.benign
    result = check.refusal(offer, offer.round, task)
    assert result.reasons[0].text == (
        f"Training needs {task.min_rows} benign rows; this device has {benign}."
    )


# Groups


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"min_group": 2}, "GROUP_TOO_SMALL"),
        ({"min_sum": 1}, "SUM_TOO_SMALL"),
        ({"noise_var": 8}, "NOISE_TOO_SMALL"),
        ({"phase_s": 3600}, "PHASE_TOO_LONG"),
        ({"mode": Mode.LOCAL, "protocol": "LocalUpdate/1"}, "ROUND_MODE"),
        ({"model_digest": "ff" * 32}, "OFFER_INCONSISTENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_p3_an_offer_that_breaks_the_devices_bounds_is_refused_and_shown(fleet, change, code):
    await fleet.join()
    device, now = fleet.devices[0], fleet.clock.now()
    bad = replace(fleet.server.config, **change)
    fleet.server.lies["offer"] = lambda offer, _: replace(
        offer, round=bad, join_opens=now, join_closes=now + 20
    )
    with pytest.raises(PeerError) as raised:
        await device.run_cycle()
    assert raised.value.code == code
    assert device.worker.calls == []
    assert fleet.server.phases_of() == []
    status = await device.call("status")
    assert status["state"] == "error"
    assert any(raised.value.message in note for note in status["notes"])


async def test_p10_a_round_older_than_one_already_joined_is_refused(fleet):
    await fleet.join()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3
    first, now = fleet.server.config, fleet.clock.now()
    fleet.server.next_round()
    fleet.server.next_round()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3
    fleet.server.next_round()
    old = replace(fleet.server.config, round_id=first.round_id)
    fleet.server.lies["offer"] = lambda offer, _: replace(
        offer, round=old, join_opens=now, join_closes=now + 20
    )
    assert outcomes(await fleet.run_cycles()) == ["ROUND_OLDER"] * 3


async def test_p3_a_devices_own_minimum_may_be_above_the_rounds(fleet_of_four):
    fleet = fleet_of_four
    await fleet.join()
    fleet.devices[0].overrides["limits"] = lambda: replace(LIMITS, min_group=4)
    fleet.devices[0].restart()
    assert outcomes(await fleet.run_cycles(group_wait_s=20))[0] == "GROUP_TOO_SMALL"
    assert fleet.devices[0].agent.ledger.charges() == []
