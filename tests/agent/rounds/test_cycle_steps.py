"""A cycle runs its steps in order, never twice, and completes what an interruption left."""

import pytest

from agent.errors import PeerError, UserActionError
from agent.rounds.outcome import Outcome
from agent.status import AgentState
from agent.store.ledger import OutboxState
from agent.transport.responses import ExcludedError
from tests.fakes.in_process_fleet import device_id


def offline():
    return UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")


async def test_a_cycle_leads_from_consent_to_a_signed_receipt(device):
    await device.join()
    result = await device.run_cycle()
    assert (result.outcome, result.rows_used, result.bytes_down > 0) == (Outcome.SENT, 20, True)
    (entry,) = device.agent.ledger.entries()
    (stored,) = device.server.updates.values()
    assert (entry.state, entry.bytes) == (OutboxState.ACKNOWLEDGED, len(stored))
    assert device.agent.ledger.body(entry.attempt) == stored
    assert device.server.calls == ["register", "offer", "model", "ready", "send_update"]
    assert list((device.home / "scratch").iterdir()) == []
    page = await device.call("ledger", verify=True)
    assert page["verified"] is True
    assert 0 < page["totals"]["epsilon_ledger"] <= 1
    assert (await device.run_cycle()).outcome is Outcome.ALREADY_CONTRIBUTED
    assert device.worker.calls == ["train", "seal"]


async def test_p1_without_consent_nothing_is_created_requested_or_sent(device, monkeypatch):
    stored = []
    monkeypatch.setattr(device.keystore, "put", lambda *entry: stored.append(entry))
    await device.call("enroll", invitation=device.server.invitation())
    device.add_rows(20)
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "NO_CONSENT"
    with pytest.raises(UserActionError):
        await device.call("samples.add", paths=["/x/a.exe"], label="benign")
    assert (device.server.calls, device.worker.calls) == ([], [])
    assert not device.agent.keys.has_identity()
    assert stored == []


async def test_consent_without_an_invitation_contacts_no_server_and_joining_needs_new_consent(
    device,
):
    await device.grant()
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "NOT_ENROLLED"
    await device.call("enroll", invitation=device.server.invitation())
    assert (await device.call("status"))["consent"]["state"] == "STALE"
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "NO_CONSENT"
    assert device.server.calls == []


async def test_p10_a_registration_is_completed_after_a_crash(device):
    await device.join()
    for step in ("register", "offer", "model"):
        device.server.fail(step, offline())
        with pytest.raises(UserActionError):
            await device.run_cycle()
        device.restart()
        device.server.fail(step, None)
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert len(device.server.devices) == 1
    assert device.agent.effective.enrolment().token == ""


async def test_a_new_model_replaces_the_update_that_waits(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.worker.calls == ["train", "train", "seal"]


async def test_p8_an_altered_model_is_not_trained_on(device):
    await device.join()
    device.server.content = device.server.content[:-1] + b"\x01"
    with pytest.raises(PeerError):
        await device.run_cycle()
    assert device.worker.calls == []
    assert device.agent.status().state is AgentState.ERROR


async def test_a_cycle_renews_the_certificate_after_two_thirds_of_its_life(device):
    await device.join()
    await device.run_cycle()
    device.clock.advance(6 * 24 * 3600)
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.server.calls.count("renew") == 1


async def test_a_device_trains_on_a_new_model_before_it_is_ready_again(fleet):
    await fleet.join()
    device = fleet.devices[0]
    assert (await device.run_cycle()).outcome is Outcome.READY
    fleet.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.READY
    assert device.worker.calls == ["train", "train"]
    assert list(fleet.server.ready) == [device_id(device)]  # for the new model, in the same cycle
    assert device.agent.runner.updates.current.model_version == fleet.server.version


async def test_an_excluded_device_waits_with_the_reason_and_spends_nothing(device):
    await device.join()
    until = device.clock.now() + 86_400
    device.server.fail("offer", ExcludedError(2, until))
    result = await device.run_cycle()
    assert result.outcome is Outcome.WAITING
    assert "excluded this device from the next 2 rounds" in result.text
    assert device.worker.calls == []
    assert device.agent.ledger.charges() == []
    status = await device.call("status")
    (reason,) = [one for one in status["reasons"] if one["code"] == "EXCLUDED"]
    assert (reason["until"], reason["text"]) == (until, result.text)
    assert status["state"] == AgentState.WAITING.value
    device.server.failures.clear()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert "EXCLUDED" not in [one["code"] for one in (await device.call("status"))["reasons"]]
