"""Whole agents run a round in a group, through kills, restarts and a dying network."""

import asyncio
import math

import numpy as np
import pytest

from agent.errors import UserActionError
from agent.privacy.codec import decode_sum
from agent.rounds.outcome import Outcome
from agent.store.ledger import OutboxState
from server_stub.demo.inprocess_worker import InProcessWorker
from tests.fakes.charges import record_charge
from tests.fakes.group_aggregator_http import GroupAggregatorSite
from tests.fakes.in_process_fleet import (
    InProcessFleet,
    device_id,
    outcomes,
    run_until_waiting,
    until,
)


async def test_a_round_makes_the_sum_of_every_update(fleet):
    await fleet.join()
    assert await fleet.train_all_but_last() == [Outcome.READY, Outcome.READY]
    assert [device.worker.calls for device in fleet.devices[:-1]] == [["train"], ["train"]]
    results = await fleet.run_cycles()
    assert outcomes(results) == ["sent"] * 3
    (group,) = fleet.server.groups
    expected = sum(device.worker.words.astype(np.int64) for device in fleet.devices) & (
        (1 << fleet.server.config.bits) - 1
    )
    assert (group.result.words == expected.astype(np.uint32)).all()
    for device, result in zip(fleet.devices, results, strict=True):
        assert device.worker.calls == ["train", "seal"]
        (entry,) = device.agent.ledger.entries()
        (charge,) = device.agent.ledger.charges()
        assert (entry.state, charge.mode, charge.rho_units < charge.rho_local_units) == (
            OutboxState.ACKNOWLEDGED,
            "secagg",
            True,
        )
        assert device.server.updates[(device_id(device), 1)] == device.agent.ledger.body(
            entry.attempt
        )
        assert result.bytes_up > entry.bytes
        assert result.bytes_down > 0
        assert device.agent.runner.updates.current is None
        assert list((device.home / "scratch").iterdir()) == []
        assert fleet.server.phases_of(device_id(device)) == [
            "advertise",
            "shares",
            "masked",
            "consistency",
            "unmask",
        ]
        page = await device.call("ledger", verify=True)
        assert page["verified"] is True
        assert page["totals"]["epsilon_ledger"] < page["totals"]["epsilon_local"]
    assert outcomes(await fleet.run_cycles()) == ["already_contributed"] * 3


@pytest.fixture
def tls_fleet(tmp_path):
    """A fleet with real workers and the devices' own client, and the site that serves it."""
    fleet = InProcessFleet(tmp_path, worker=lambda _: InProcessWorker(), client_factory=None)
    with GroupAggregatorSite(tmp_path, fleet.server) as site:
        yield fleet, site
    fleet.close()


async def test_a_round_over_tls_with_real_training_makes_a_sum_of_the_planned_noise(tls_fleet):
    fleet, site = tls_fleet
    await fleet.join()
    results = await fleet.run_cycles()
    assert outcomes(results) == ["sent"] * 3
    (group,) = fleet.server.groups
    mean = decode_sum(group.result.words, fleet.server.config, group.result.count)
    noise = float(fleet.server.config.grid) * math.sqrt(
        fleet.server.config.noise_var / group.result.count
    )
    assert 0 < np.linalg.norm(mean) < 1 + 1.5 * noise * math.sqrt(len(mean))
    for device, result in zip(fleet.devices, results, strict=True):
        page = await device.call("ledger", verify=True)
        assert page["verified"] is True
        (entry,) = page["outbox"]
        assert entry["receipt"]["receipt"]["body_sha256"] == entry["sha256"]
        assert entry["receipt"]["receipt"]["bytes"] == entry["bytes"]
        assert (
            device.agent.runner.updates.current,
            list((device.home / "scratch").iterdir()),
        ) == (None, [])
        assert result.bytes_down > 0
    polls = site.bytes_in.pop("ready")
    assert 0 < polls < 2000
    assert sum(result.bytes_up for result in results) == sum(site.bytes_in.values())
    assert set(site.bytes_in) == {"advertise", "shares", "updates", "consistency", "unmask"}


@pytest.mark.parametrize("phase", ["advertise", "shares", "masked", "consistency", "unmask"])
async def test_p10_a_device_killed_in_any_phase_harms_no_other_and_is_charged_once_at_most(
    fleet_of_four, phase
):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    name = device_id(victim)

    # The phase never ends for the victim, so that it is still there when it is killed.
    fleet.server.lies[phase] = lambda true, who: None if who == name else true
    running = [asyncio.create_task(device.run_cycle(group_wait_s=60)) for device in fleet.devices]
    await until(lambda: phase in fleet.server.phases_of(name))
    await victim.agent.runner.stop()
    victim.restart()
    del fleet.server.lies[phase]
    charged = len(victim.agent.ledger.charges())
    assert charged == (phase in ("masked", "consistency", "unmask"))
    results = await asyncio.gather(*running, return_exceptions=True)
    assert outcomes(results[1:]) == ["sent"] * 3
    (group,) = fleet.server.groups
    in_sum = set(group.result.devices)
    assert (name in in_sum) == (phase in ("masked", "consistency", "unmask"))
    before = fleet.server.phases_of(name)
    again = await victim.run_cycle(group_wait_s=0)
    assert again.outcome in (Outcome.ALREADY_CONTRIBUTED, Outcome.ROUND_CLOSED, Outcome.SENT)
    assert set(fleet.server.phases_of(name)[len(before) :]) <= {"masked"}
    assert len(victim.agent.ledger.charges()) == charged


async def test_p10_after_a_restart_only_the_stored_masked_input_may_be_sent(
    fleet_of_four,
):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    fleet.server.fail("masked", UserActionError("OFFLINE", "Gone.", ""))
    running = [asyncio.create_task(device.run_cycle(group_wait_s=60)) for device in fleet.devices]
    await until(lambda: len(victim.agent.ledger.charges()) == 1)
    await victim.agent.runner.stop()
    victim.restart()
    fleet.server.fail("masked", None)
    (entry,) = victim.agent.ledger.unsent()
    stored = victim.agent.ledger.body(entry.attempt)
    assert (await victim.run_cycle()).outcome is Outcome.SENT
    assert fleet.server.updates[(device_id(victim), 1)] == stored
    results = await asyncio.gather(*running, return_exceptions=True)
    assert outcomes(results[1:]) == ["sent"] * 3
    assert fleet.server.phases_of(device_id(victim)) == ["advertise", "shares", "masked"]
    assert (await victim.run_cycle()).outcome is Outcome.ALREADY_CONTRIBUTED


@pytest.mark.parametrize(
    "step",
    ["advertise", "inbox advertise", "shares", "masked", "inbox masked", "consistency", "unmask"],
)
async def test_p10_a_network_that_dies_in_a_round_ends_it_and_the_next_cycle_is_complete(
    timed_fleet, step
):
    fleet, victim = timed_fleet, timed_fleet.devices[0]
    await fleet.join()
    await fleet.train_all_but_last()
    fleet.server.fail(
        step, UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")
    )
    results = await fleet.run_cycles(group_wait_s=10_000)
    assert outcomes(results)[0] == "OFFLINE"
    charged = step in ("masked", "inbox masked", "consistency", "unmask")
    assert len(victim.agent.ledger.charges()) == charged
    assert [entry.state for entry in victim.agent.ledger.unsent()] == (
        [OutboxState.UNSENT] if step == "masked" else []
    )
    assert victim.agent.runner.updates.current is not None
    assert "OFFLINE" in [reason["code"] for reason in (await victim.call("status"))["reasons"]]
    fleet.server.fail(step, None)
    fleet.clock.advance(3600)
    fleet.server.same_model_again()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3
    assert len(victim.agent.ledger.charges()) == 1 + charged
    assert victim.worker.calls.count("train") == 1
    assert victim.agent.ledger.unsent() == []


async def test_p5_a_budget_spent_during_the_round_leaves_the_group_before_the_charge(fleet_of_four):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    running = await run_until_waiting(fleet, victim, "seal")
    record_charge(victim, rho_units=victim.agent.effective.budget().rho_units)
    victim.worker.gates["seal"].set()
    error, *others = await asyncio.gather(*running, return_exceptions=True)
    assert isinstance(error, UserActionError)
    assert (error.code, error.remedy) == ("BUDGET_SPENT", "Nothing was charged or sent.")
    assert len(victim.agent.ledger.charges()) == 1
    assert fleet.server.phases_of(device_id(victim)) == ["advertise", "shares", "leave"]
    assert outcomes(others) == ["sent"] * 3
