"""A window asks by itself rarely, and never after DO_NOT_TRACK (C17)."""

import pytest

from agent.consent.record import add_months
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


async def refuse(device):
    notice = await device.call("consent.show")
    await device.call(
        "consent.refuse",
        notice_id=notice["notice_id"],
        text_sha256=notice["text_sha256"],
        surface="window",
        locale="en",
    )


async def prompts(device, times=3):
    return [(await device.call("consent.prompt"))["allowed"] for _ in range(times)]


async def test_c17_the_first_prompt_comes_once(device):
    assert await prompts(device) == [True, False, False]
    device.restart()
    device.clock.advance(10**8)
    assert await prompts(device) == [False, False, False]


async def test_c17_after_a_refusal_twelve_quiet_months_and_then_one_prompt(device):
    await refuse(device)
    end = add_months(device.clock.wall, 12)
    device.clock.wall = end - 1
    assert await prompts(device) == [False, False, False]
    device.clock.wall = end
    assert await prompts(device) == [True, False, False]
    device.clock.wall = add_months(end, 12) - 1
    assert await prompts(device, 1) == [False]


async def test_c17_a_stale_consent_prompts_once_for_each_notice(device):
    assert await prompts(device, 1) == [True]
    await device.grant()
    assert await prompts(device, 1) == [False]
    await device.call("settings.set", key="budget.epsilon", value=2)
    assert await prompts(device) == [True, False, False]
    await device.call("settings.set", key="budget.epsilon", value=3)
    assert await prompts(device) == [True, False, False]


async def test_c24_do_not_track_means_no_prompt_and_no_permit(tmp_path):
    device = Device(tmp_path, environ={"DO_NOT_TRACK": "1"})
    assert await prompts(device, 1) == [False]
    status = await device.grant()
    assert (status["state"], status["reasons"][0]["code"]) == ("off", "NO_CONSENT")
    device.close()
