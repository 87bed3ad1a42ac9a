"""Only a person's own limits can be set aside, and only for one cycle."""

import pytest

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome


async def test_run_now_passes_the_persons_own_limits_and_nothing_else(device):
    await device.join()
    await device.call("pause")
    assert (await device.run_cycle()).outcome is Outcome.WAITING
    result = await device.agent.cycles.run(hold_s=0, override=True)
    assert result.outcome is Outcome.SENT
    device.server.next_round()
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(UserActionError):
        await device.agent.cycles.run(hold_s=0, override=True)
