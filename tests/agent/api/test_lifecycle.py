"""Pause, resume, run, discard and quit."""

import pytest

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome


async def test_a_pause_ends_at_its_time(device):
    status = await device.call("pause", seconds=900)
    assert status["paused_until"] == device.clock.now() + 900
    device.clock.advance(899)
    assert device.agent.status().paused_until is not None
    device.clock.advance(1)
    assert device.agent.status().paused_until is None


async def test_a_pause_until_resumed_survives_a_restart(device):
    assert (await device.call("pause"))["paused_until"] == 0
    device.clock.advance(10**8)
    device.restart()
    assert device.agent.status().paused_until == 0
    assert (await device.call("resume"))["paused_until"] is None


async def test_run_now_and_quit_reach_the_loop(device):
    wishes = []
    device.agent.signals.connect_loop(
        run_now=lambda: wishes.append("run"), request_quit=lambda: wishes.append("quit")
    )
    with pytest.raises(UserActionError) as raised:
        await device.call("run_now")
    assert (raised.value.code, wishes) == ("NO_CONSENT", [])
    await device.grant()
    await device.call("run_now")
    assert await device.call("quit") == {}
    assert wishes == ["run", "quit"]


async def test_discard_deletes_the_update_that_waits(device):
    await device.join()
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.WAITING
    assert device.agent.runner.updates.current is not None
    await device.call("discard")
    assert device.agent.runner.updates.current is None
    assert list((device.home / "scratch").iterdir()) == []
