"""Devices that meet: whole agents around a group, from the readiness to the sum, through kills,
restarts and a dying network.
"""

import asyncio
import math
import time
from dataclasses import replace

import numpy as np
import pytest

from agent.errors import UserActionError
from agent.privacy.codec import decode_sum
from agent.rounds.outcome import Outcome
from agent.store.ledger import OutboxState
from server_stub.demo.inprocess_worker import InProcessWorker
from tests.fakes.clock import FakeClock
from tests.fakes.group_aggregator_http import GroupAggregatorSite
from tests.fakes.in_process_fleet import InProcessFleet, device_id, outcomes, until


async def test_from_readiness_to_a_sum_that_holds_every_update(fleet):
    await fleet.join()
    assert await fleet.all_ready() == [Outcome.READY, Outcome.READY]
    assert [device.worker.calls for device in fleet.devices[:-1]] == [["train"], ["train"]]
    results = await fleet.meet()
    assert outcomes(results) == ["sent"] * 3
    (group,) = fleet.server.groups
    wanted = sum(device.worker.words.astype(np.int64) for device in fleet.devices) & (
        (1 << fleet.server.config.bits) - 1
    )
    assert (group.result.words == wanted.astype(np.uint32)).all()
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
        assert fleet.server.said(device_id(device)) == [
            "advertise",
            "shares",
            "masked",
            "consistency",
            "unmask",
        ]
        page = await device.call("ledger", verify=True)
        assert page["verified"] is True
        assert page["totals"]["epsilon_ledger"] < page["totals"]["epsilon_local"]
    assert outcomes(await fleet.meet()) == ["already_contributed"] * 3


async def test_a_ready_device_is_told_when_its_group_meets_and_comes_back_for_it(fleet):
    await fleet.join()
    device = fleet.devices[0]

    def later(made, _):
        now = fleet.clock.now()
        return replace(made, round=fleet.server.config, join_opens=now + 900, join_closes=now + 960)

    fleet.server.lies["offer"] = later
    result = await device.run_cycle()
    assert result.outcome is Outcome.READY
    assert 900 <= result.reasons[0].until - fleet.clock.now() <= 930
    assert fleet.server.said() == []


def test_the_whole_way_over_tls_with_real_training_and_sealing(tmp_path):
    """The device's own client; the opened sum is no larger than clipped updates and the planned
    noise make it.
    """

    async def scene(fleet, site):
        await fleet.join()
        results = await fleet.meet()
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
        assert sum(result.bytes_up for result in results) == sum(site.bytes_in.values())
        assert set(site.bytes_in) == {"advertise", "shares", "updates", "consistency", "unmask"}

    fleet = InProcessFleet(tmp_path, worker=lambda _: InProcessWorker(), client_factory=None)
    with GroupAggregatorSite(tmp_path, fleet.server) as site:
        asyncio.run(scene(fleet, site))
    fleet.close()


@pytest.mark.parametrize("phase", ["advertise", "shares", "masked", "consistency", "unmask"])
async def test_p10_a_device_killed_at_any_phase_costs_itself_alone_and_is_charged_once_at_most(
    fleet_of_four, phase
):
    fleet = fleet_of_four

    await fleet.join()
    await fleet.all_ready()
    victim = fleet.devices[0]
    name = device_id(victim)

    def killed(who, what, _):
        return who == name and what == phase

    fleet.server.lies[phase] = lambda true, who: (
        None if who == name else true
    )  # it dies here, however slowly it is killed
    running = [asyncio.create_task(device.run_cycle(group_wait_s=60)) for device in fleet.devices]
    await until(lambda: any(killed(*said) for said in fleet.server.bodies))
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
    before = fleet.server.said(name)
    again = await victim.run_cycle(group_wait_s=0)
    assert again.outcome in (Outcome.ALREADY_CONTRIBUTED, Outcome.ROUND_CLOSED, Outcome.SENT)
    assert [what for what in fleet.server.said(name)[len(before) :] if what != "masked"] == []
    assert len(victim.agent.ledger.charges()) == charged


async def test_p10_after_a_restart_the_identical_masked_input_may_still_be_sent_and_nothing_else(
    fleet_of_four,
):
    fleet = fleet_of_four

    await fleet.join()
    await fleet.all_ready()
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
    assert fleet.server.said(device_id(victim)) == ["advertise", "shares", "masked"]
    assert (await victim.run_cycle()).outcome is Outcome.ALREADY_CONTRIBUTED


@pytest.mark.parametrize(
    "step",
    ["advertise", "inbox advertise", "shares", "masked", "inbox masked", "consistency", "unmask"],
)
def test_p10_a_network_that_dies_in_a_round_ends_it_within_the_phase_and_the_next_pass_is_whole(
    tmp_path, step
):
    async def scene(fleet, victim):
        await fleet.join()
        await fleet.all_ready()
        fleet.server.fail(
            step, UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")
        )
        results = await fleet.meet(group_wait_s=10_000)
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
        assert outcomes(await fleet.meet()) == ["sent"] * 3
        assert len(victim.agent.ledger.charges()) == 1 + charged
        assert victim.worker.calls.count("train") == 1
        assert victim.agent.ledger.unsent() == []

    clock = FakeClock(int(time.time()))

    async def passing(seconds):
        clock.ticks += seconds
        await asyncio.sleep(0.001)

    fleet = InProcessFleet(tmp_path, clock=clock, sleep=passing)
    asyncio.run(scene(fleet, fleet.devices[0]))
    fleet.close()


async def test_a_new_model_is_trained_on_before_the_device_says_again_that_it_is_ready(fleet):
    await fleet.join()
    device = fleet.devices[0]
    assert (await device.run_cycle()).outcome is Outcome.READY
    fleet.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.READY
    assert device.worker.calls == ["train", "train"]
    assert list(fleet.server.ready) == [device_id(device)]  # for the new model, in the same pass
    assert device.agent.runner.updates.current.model_version == fleet.server.version
