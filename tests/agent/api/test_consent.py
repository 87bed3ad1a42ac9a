"""What a person decides is recorded once, and withdrawing always works."""

import asyncio
import contextlib

import pytest

from agent.errors import PeerError, UserActionError
from agent.rounds.outcome import Outcome
from agent.store.ledger import OutboxState
from tests.fakes.charges import record_charge


async def test_a_surface_is_a_short_word(device):
    with pytest.raises(PeerError):
        await device.grant(surface="x" * 100)
    assert device.agent.gate.consent_status().state.value == "UNASKED"


async def test_c10_withdrawing_is_easy_in_every_state(device):
    for prepare in (None, device.grant, None):
        if prepare:
            await prepare()
        status = await device.call("consent.withdraw", surface="tray")
        assert status["state"] == "off"
    await device.grant()
    await device.call("settings.set", key="budget.epsilon", value=2)
    assert (await device.call("consent.withdraw", surface="tray"))["consent"]["state"] == "REFUSED"


async def test_granting_twice_records_one_yes(device):
    await device.grant()
    await device.grant()
    assert len(device.agent.record.entries()) == 1


async def test_c2_dismissing_records_no_yes(device):
    notice = await device.call("consent.show")
    status = await device.call("consent.dismiss", notice_id=notice["notice_id"], surface="window")
    assert status["consent"]["state"] == "UNASKED"
    await device.grant()
    status = await device.call("consent.dismiss", notice_id=notice["notice_id"], surface="window")
    assert status["consent"]["state"] == "GRANTED"


@pytest.mark.parametrize("method", ["erase", "consent.withdraw"])
async def test_p2_a_window_that_closes_meanwhile_does_not_stop_it_half_way(device, method):
    await device.join()
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.WAITING
    params = {"surface": "tray"} if method == "consent.withdraw" else {}
    asked = asyncio.create_task(device.call(method, **params))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    async with asyncio.timeout(60):
        while device.agent.runner.updates.current is not None:
            await asyncio.sleep(0.005)
        while method == "erase" and (
            device.agent.samples.counts().total or (device.home / "identity.aead").exists()
        ):
            await asyncio.sleep(0.005)
    assert device.agent.gate.denial() is not None


@pytest.mark.parametrize("how", ["on a full disk", "by a mark"])
async def test_p2_a_new_yes_sends_nothing_that_was_withdrawn(device, monkeypatch, how):
    await device.join()
    device.server.fail("send_update", UserActionError("OFFLINE", "Offline.", "Connect."))
    with contextlib.suppress(UserActionError):
        await device.run_cycle()
    assert device.agent.ledger.unsent()
    with monkeypatch.context() as disk:
        disk.setattr(device.agent.ledger, "withdraw", full)
        if how == "by a mark":
            device.agent.home.withdrawal_mark.touch()
        else:
            await device.call("consent.withdraw", surface="cli")
        with pytest.raises(UserActionError, match="Full"):
            await device.grant()
        assert device.agent.gate.denial() is not None
    device.server.fail("send_update", None)
    await device.grant()
    assert device.agent.ledger.unsent() == []
    assert device.agent.runner.updates.current is None
    assert [entry.state for entry in device.agent.ledger.entries()] == [OutboxState.WITHDRAWN]


def full(*_):
    raise UserActionError("DISK_FULL", "Full.", "")


async def test_p4_a_model_that_has_had_its_share_gets_more_only_from_the_person(device):
    with pytest.raises(UserActionError) as refused:
        await device.call("consent.go_on")
    assert refused.value.code == "NO_CONSENT"
    await device.join()
    await device.run_cycle()
    with pytest.raises(UserActionError) as refused:
        await device.call("consent.go_on")
    assert refused.value.code == "NOT_ASKED"
    record_charge(device, rho_units=device.agent.effective.budget().rho_units // 4)
    status = await device.call("status")
    assert status["state"] == "attention"
    (reason,) = status["reasons"]
    assert (reason["code"], reason["until"]) == ("MODEL_SPENT", None)
    status = await device.call("consent.go_on")
    # What a day may cost still holds, and says when it is over.
    (reason,) = status["reasons"]
    assert (reason["code"], reason["until"]) == ("DAY_SPENT", device.clock.now() + 24 * 3600)
