"""Whole agents take part only with devices that the log shows as enrolled long enough before."""

from dataclasses import replace

import pytest

from agent.enrolment.log_audit import AUDIT_PERIOD_S, LOG_SIZES
from tests.fakes.in_process_fleet import InProcessFleet, outcomes

DAYS = 2


@pytest.fixture
async def fleet(tmp_path):
    """A fleet whose task asks for two days; its devices have just trained."""
    fleet = InProcessFleet(tmp_path)
    fleet.server.task = replace(fleet.server.task, peer_days=DAYS)
    await fleet.join()
    await fleet.train_all_but_last()
    yield fleet
    fleet.close()


async def test_members_that_are_too_new_are_refused_and_nothing_is_charged(fleet):
    assert outcomes(await fleet.run_cycles()) == ["ROSTER_ENROLMENT"] * 3
    assert [device.agent.ledger.charges() for device in fleet.devices] == [[], [], []]
    assert {phase for _, phase, _ in fleet.server.bodies} == {"advertise", "leave"}


async def test_a_device_that_is_too_new_says_from_when_it_takes_part(fleet):
    device = fleet.devices[0]
    result = await device.run_cycle(group_wait_s=0)
    (reason,) = result.reasons
    assert "enrolled longer ago" in reason.text
    assert reason.until == fleet.clock.now() + DAYS * 86_400
    fleet.clock.advance(DAYS * 86_400)
    (reason,) = (await device.run_cycle(group_wait_s=0)).reasons
    assert "when its group forms" in reason.text


async def grown_old(fleet):
    """Let the days pass, with a round that fails on each."""
    await fleet.run_cycles()
    for _ in range(DAYS):
        fleet.clock.advance(AUDIT_PERIOD_S + 1)
        fleet.server.same_model_again()
        results = await fleet.run_cycles()
    return outcomes(results)


async def test_the_same_devices_take_part_once_they_are_old_enough(fleet):
    assert await grown_old(fleet) == ["sent"] * 3
    sizes = fleet.devices[0].agent.values.get(LOG_SIZES)["sizes"]
    assert [size for _, size in sizes] == [1, 3, 3]


async def test_an_enrolment_that_was_dated_back_is_refused_by_who_saw_the_log_without_it(fleet):
    """The last device registers two days after the others, and its entry says otherwise."""
    for device in fleet.devices[:-1]:
        await device.run_cycle()
    start = fleet.clock.now()
    for _ in range(DAYS):
        fleet.clock.advance(AUDIT_PERIOD_S + 1)
        for device in fleet.devices[:-1]:
            await device.run_cycle()
    fleet.server.log_time = start
    assert outcomes(await fleet.run_cycles())[:-1] == ["ROSTER_ENROLMENT"] * 2
