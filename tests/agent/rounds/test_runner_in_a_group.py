"""A withdrawal, a pause, a discard and the program's end each end a round in a group (P2)."""

import asyncio

import pytest

from agent.protocol import codec
from agent.rounds.outcome import Outcome
from tests.fakes.in_process_fleet import (
    WAITING_POINTS,
    device_id,
    outcomes,
    run_until_waiting,
    until,
)


@pytest.mark.parametrize("point", WAITING_POINTS)
async def test_p2_a_withdrawal_ends_the_round_at_once_and_sends_one_leave_without_data(
    fleet_of_four, point
):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    name = device_id(victim)
    if point == "inbox masked":  # another device is late, so the set of inputs is open
        fleet.devices[1].worker.gates["seal"] = asyncio.Event()
    running = await run_until_waiting(fleet, victim, point)
    charged = len(victim.agent.ledger.charges())
    started = asyncio.get_running_loop().time()
    status = await victim.call("consent.withdraw", surface="tray")
    assert asyncio.get_running_loop().time() - started < 1
    assert status["consent"]["state"] == "WITHDRAWN"
    assert list((victim.home / "scratch").iterdir()) == []
    assert victim.agent.runner.updates.current is None
    await until(lambda: name in fleet.server.left)
    for gate in fleet.devices[1].worker.gates.values():
        gate.set()
    phases = fleet.server.phases_of(name)
    body = next(body for who, what, body in fleet.server.bodies if (who, what) == (name, "leave"))
    assert codec.decode_leave(body, codec.round_context(fleet.server.config)) == "withdrawn"
    results = await asyncio.gather(*running, return_exceptions=True)
    assert outcomes(results) == ["stopped", "sent", "sent", "sent"]
    assert fleet.server.phases_of(name) == phases
    assert phases.count("leave") == 1
    (group,) = fleet.server.groups
    assert (name in group.result.devices) == (
        point == "inbox consistency"
    )  # the set of inputs was fixed before
    assert len(victim.agent.ledger.charges()) == charged
    assert victim.agent.ledger.unsent() == []


@pytest.mark.parametrize("point", WAITING_POINTS)
async def test_p2_a_pause_leaves_the_group_before_the_masked_input_and_finishes_after_it(
    fleet_of_four, point
):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    name = device_id(victim)
    running = await run_until_waiting(fleet, victim, point)
    await victim.call("pause")
    fleet.server.lies.clear()
    results = await asyncio.gather(*running, return_exceptions=True)
    leaves = point in ("inbox advertise", "inbox shares", "seal")
    assert outcomes(results) == ["stopped" if leaves else "sent", "sent", "sent", "sent"]
    if leaves:
        await until(lambda: name in fleet.server.left)
        assert victim.agent.ledger.charges() == []
        assert victim.agent.runner.updates.current is not None
    assert (await victim.run_cycle()).outcome is Outcome.WAITING


async def test_a_pause_ends_the_wait_for_the_group_and_keeps_the_update(fleet):
    await fleet.join()
    device = fleet.devices[0]
    running = asyncio.create_task(device.run_cycle(group_wait_s=60))
    await until(lambda: device.worker.calls == ["train"] and fleet.server.calls.count("offer") > 3)
    await device.call("pause")
    assert (await running).outcome is Outcome.STOPPED
    assert device.agent.runner.updates.current is not None
    assert fleet.server.phases_of() == []


async def test_a_discard_leaves_the_group_before_the_masked_input_only(
    fleet_of_four,
):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    first, second = fleet.devices[:2]
    second.worker.gates["seal"] = asyncio.Event()
    running = await run_until_waiting(fleet, first, "inbox masked")
    await until(lambda: "seal" in second.worker.calls)
    await second.call("discard")
    await first.call("discard")
    fleet.server.lies.clear()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert outcomes(results) == ["sent", "stopped", "sent", "sent"]
    assert fleet.server.left == [device_id(second)]
    assert second.agent.runner.updates.current is None


async def test_p2_an_erasure_ends_the_round(fleet):
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    running = await run_until_waiting(fleet, victim, "inbox masked")
    await victim.call("erase")
    results = await asyncio.gather(*running, return_exceptions=True)
    assert outcomes(results)[0] == "stopped"
    assert not victim.agent.keys.has_identity()


@pytest.mark.parametrize("point", ["inbox shares", "inbox masked"])
async def test_quitting_leaves_a_group_that_can_go_on_without_this_device(fleet_of_four, point):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    name = device_id(victim)
    running = await run_until_waiting(fleet, victim, point)
    started = asyncio.get_running_loop().time()
    await victim.agent.runner.quit()
    assert asyncio.get_running_loop().time() - started < 2
    before = point == "inbox shares"
    assert fleet.server.left == ([name] if before else [])
    results = await asyncio.gather(*running, return_exceptions=True)
    assert outcomes(results) == ["stopped", "sent", "sent", "sent"]
    (group,) = fleet.server.groups
    assert (name in group.result.devices) != before
