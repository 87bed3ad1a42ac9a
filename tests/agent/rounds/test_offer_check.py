"""A device takes up an offer only within what was agreed and within its own bounds."""

from dataclasses import replace

import pytest

from agent.errors import PeerError
from agent.rounds.outcome import Outcome
from tests.fakes.group_aggregator import LIMITS
from tests.fakes.in_process_fleet import outcomes


async def test_too_few_rows_is_no_reason_to_train(device):
    await device.call("enroll", invitation=device.server.invitation())
    await device.grant()
    device.add_rows(9)
    result = await device.run_cycle()
    assert result.outcome is Outcome.NOTHING_TO_LEARN
    assert device.worker.calls == []


async def test_p3_a_round_that_breaks_the_devices_bounds_is_refused(device):
    from dataclasses import replace

    await device.join()
    good = device.server.config
    for changes in ({"noise_var": 4}, {"model_version": 9}, {"model_digest": "ff" * 32}):
        device.server.config = replace(good, **changes)
        with pytest.raises(PeerError):
            await device.run_cycle()
    device.server.config = good
    device.server.task = replace(device.server.task, clip_milli=9000)
    with pytest.raises(PeerError) as raised:
        await device.run_cycle()
    assert raised.value.code == "TASK_CHANGED"
    assert device.agent.ledger.charges() == []
    assert "send_update" not in device.server.calls


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"min_group": 2}, "GROUP_TOO_SMALL"),
        ({"min_sum": 1}, "SUM_TOO_SMALL"),
        ({"noise_var": 8}, "NOISE_TOO_SMALL"),
        ({"phase_s": 3600}, "PHASE_TOO_LONG"),
        ({"mode": "local", "protocol": "LocalUpdate/1"}, "ROUND_MODE"),
        ({"model_digest": "ff" * 32}, "OFFER_INCONSISTENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_p3_an_offer_that_breaks_the_devices_bounds_is_refused_and_said(fleet, change, code):
    from agent.protocol.messages import Mode

    await fleet.join()
    device = fleet.devices[0]
    changed = {name: Mode(value) if name == "mode" else value for name, value in change.items()}
    bad = replace(fleet.server.config, **changed)
    now = fleet.clock.now()
    fleet.server.lies["offer"] = lambda made, _: replace(
        made, round=bad, join_opens=now, join_closes=now + 20
    )
    with pytest.raises(PeerError) as raised:
        await device.run_cycle()
    assert raised.value.code == code
    assert device.worker.calls == []
    assert fleet.server.phases_of() == []
    status = await device.call("status")
    assert status["state"] == "error"
    assert any(raised.value.message in note for note in status["notes"])


async def test_a_round_that_is_older_than_one_already_met_is_refused(fleet):
    await fleet.join()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3
    first = fleet.server.config
    fleet.server.next_round()
    fleet.server.next_round()
    assert outcomes(await fleet.run_cycles()) == ["sent"] * 3
    fleet.server.next_round()
    old = replace(fleet.server.config, round_id=first.round_id)
    now = fleet.clock.now()
    fleet.server.lies["offer"] = lambda made, _: replace(
        made, round=old, join_opens=now, join_closes=now + 20
    )
    assert outcomes(await fleet.run_cycles()) == ["ROUND_OLDER"] * 3


async def test_p3_a_device_hides_among_its_own_minimum_whatever_the_round_says(fleet_of_four):
    """The limits of a device may be above the round's: then the offer itself is refused."""
    fleet = fleet_of_four

    await fleet.join()
    fleet.devices[0].overrides["limits"] = lambda: replace(LIMITS, min_group=4)
    fleet.devices[0].restart()
    assert outcomes(await fleet.run_cycles(group_wait_s=20))[0] == "GROUP_TOO_SMALL"
    assert fleet.devices[0].agent.ledger.charges() == []
