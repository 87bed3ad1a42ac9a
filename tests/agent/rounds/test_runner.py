"""A pass: in the right order, never twice, never without a yes, and whole again after any
interruption.
"""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from agent.errors import PeerError, UserActionError
from agent.rounds.outcome import Outcome
from agent.status import AgentState
from agent.store.ledger import OutboxState
from tests.fakes.device import Device
from tests.fakes.timeouts import within


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def offline():
    return UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")


async def test_the_whole_way_from_a_yes_to_a_receipt(device):
    await device.join()
    result = await device.run_cycle()
    assert (result.outcome, result.rows_used, result.bytes_down > 0) == (Outcome.SENT, 20, True)
    (entry,) = device.agent.ledger.entries()
    (stored,) = device.server.updates.values()
    assert (entry.state, entry.bytes) == (OutboxState.ACKNOWLEDGED, len(stored))
    assert device.agent.ledger.body(entry.attempt) == stored
    assert device.server.calls == ["register", "offer", "model", "send_update"]
    assert list((device.home / "scratch").iterdir()) == []
    page = await device.call("ledger", verify=True)
    assert page["verified"] is True
    assert 0 < page["totals"]["epsilon_ledger"] <= 1
    assert (await device.run_cycle()).outcome is Outcome.ALREADY_CONTRIBUTED
    assert device.worker.calls == ["train", "seal"]


async def test_p1_without_consent_nothing_is_made_requested_or_sent(device, monkeypatch):
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


async def test_granted_without_an_invitation_contacts_nobody_and_joining_asks_again(device):
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


async def test_p10_an_answer_that_was_lost_is_fetched_with_the_same_bytes_and_charged_once(device):
    await device.join()
    device.server.fail("after send_update", offline())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    sent = dict(device.server.updates)
    device.restart()
    device.server.fail("after send_update", None)
    device.clock.advance(60)
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.server.updates == sent
    assert len(device.agent.ledger.charges()) == 1
    assert device.agent.ledger.unsent() == []
    assert device.worker.calls == ["train", "seal"]


async def test_p4_an_update_that_never_left_is_sent_while_its_round_is_open_and_not_after(device):
    await device.join()
    device.server.fail("send_update", offline())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert [entry.state for entry in device.agent.ledger.entries()] == [OutboxState.UNSENT]
    device.restart()
    device.clock.advance(4000)
    device.server.fail("send_update", None)
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert [entry.state for entry in device.agent.ledger.entries()] == [
        OutboxState.CLOSED,
        OutboxState.ACKNOWLEDGED,
    ]
    assert len(device.agent.ledger.charges()) == 2
    assert len(device.server.updates) == 1


async def test_p10_a_crash_in_registration_strands_nobody(device):
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


async def test_too_few_rows_is_no_reason_to_train(device):
    await device.call("enroll", invitation=device.server.invitation())
    await device.grant()
    device.add_rows(9)
    result = await device.run_cycle()
    assert result.outcome is Outcome.NOTHING_TO_LEARN
    assert device.worker.calls == []


async def test_p5_the_wall_holds_and_says_when(device):
    await device.join()
    outcomes = []
    for _ in range(12):
        outcomes.append((await device.run_cycle()).outcome)
        device.server.next_round()
    assert outcomes[0] is Outcome.SENT
    assert outcomes[-1] is Outcome.BUDGET_SPENT
    status = await device.call("status")
    assert status["budget"]["epsilon_ledger"] <= 1.0
    assert status["budget"]["may_take_part_at"] > device.clock.now()
    assert "BUDGET_SPENT" in [reason["code"] for reason in status["reasons"]]
    assert len(device.server.updates) == outcomes.count(Outcome.SENT)


@pytest.mark.parametrize("stage", ["train", "seal"])
async def test_p2_withdrawal_in_the_middle_stops_the_worker_and_sends_nothing(device, stage):
    await device.join()
    running = await device.cycle_suspended_at(stage)
    started = asyncio.get_running_loop().time()
    status = await device.call("consent.withdraw", surface="tray")
    assert asyncio.get_running_loop().time() - started < 1
    assert (status["state"], status["consent"]["state"]) == ("off", "WITHDRAWN")
    assert (await running).outcome is Outcome.STOPPED
    assert device.worker.stopped
    assert "send_update" not in device.server.calls
    assert list((device.home / "scratch").iterdir()) == []
    assert device.agent.ledger.charges() == []
    del device.worker.gates[stage]
    await device.grant()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.server.calls.count("register") == 1


async def test_a_hold_ends_with_its_training(device):
    """Nobody would lift it from the next one, say the example before the next decision."""

    await device.join()
    running = await device.cycle_suspended_at("train")
    device.worker.hold()
    await device.call("pause")
    assert (await running).outcome is Outcome.STOPPED
    assert not device.worker.is_held
    assert device.worker.stopped_jobs == {"train", "seal"}


@pytest.mark.parametrize("fails", [False, True], ids=["it holds", "its writing fails"])
async def test_a_pause_stops_training_before_it_writes_anything(device, monkeypatch, fails):
    """A disk may be slow; whoever pauses wants a still machine."""

    await device.join()
    running = await device.cycle_suspended_at("train")
    put, seen = device.agent.values.put, []

    def slow(key, value):
        seen.append((key, device.worker.is_held))
        if fails:
            raise UserActionError("DISK_FULL", "The disk is full.", "Free some space.")
        put(key, value)

    monkeypatch.setattr(device.agent.values, "put", slow)
    if fails:
        with pytest.raises(UserActionError):
            await device.call("pause")
        assert not running.done()
    else:
        await device.call("pause")
        assert (await running).outcome is Outcome.STOPPED
    assert ("pause", True) in seen
    assert not device.worker.is_held
    await device.agent.runner.stop()
    await running


async def test_a_worker_that_was_ended_with_its_pass_is_no_fault(device, monkeypatch):
    await device.join()

    async def stopped(*_, **__):
        raise UserActionError("WORKER_STOPPED", "The work was stopped before it was finished.", "")

    monkeypatch.setattr(device.worker, "train", stopped)
    assert (await device.run_cycle()).outcome is Outcome.STOPPED


async def test_p2_withdrawal_empties_the_outbox_and_a_crash_right_after_changes_nothing(device):
    await device.join()
    device.server.fail("send_update", offline())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    notice = await device.call("consent.show")
    from agent.consent.record import Act, Evidence

    evidence = Evidence(notice["notice_id"], notice["text_sha256"], "en", "tray")
    device.agent.record.act(
        device.agent.gate.consent_status(), Act.WITHDRAW, evidence, "contribute", ""
    )
    device.restart()  # killed between the record and the clearing
    assert device.agent.ledger.unsent() == []
    assert [entry.state for entry in device.agent.ledger.entries()] == [OutboxState.WITHDRAWN]


async def test_a_finished_update_waits_and_can_be_discarded(device):
    await device.join()
    result = await device.run_cycle(hold_s=600)
    assert (result.outcome, result.reasons[0].until) == (
        Outcome.WAITING,
        device.clock.now() + 600,
    )
    assert device.agent.ledger.charges() == []
    await device.call("discard")
    assert list((device.home / "scratch").iterdir()) == []
    await device.run_cycle(hold_s=600)
    device.clock.advance(600)
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.SENT
    assert device.worker.calls == ["train", "train", "seal"]


@pytest.mark.parametrize("method", ["samples.clear", "discard"])
async def test_what_is_trained_when_the_rows_are_cleared_is_never_sent(device, method):
    await device.join()
    running = await device.cycle_suspended_at("train")
    await device.call(method)
    device.worker.gates["train"].set()
    assert (await running).outcome is Outcome.STOPPED
    assert device.agent.runner.updates.current is None
    assert list((device.home / "scratch").iterdir()) == []
    assert (device.server.updates, device.agent.ledger.charges()) == ({}, [])


async def test_p4_nothing_is_charged_for_a_round_that_closed_while_the_update_was_made(device):
    await device.join()
    running = await device.cycle_suspended_at("seal")
    device.clock.advance(3600)
    device.worker.gates["seal"].set()
    result = await running
    assert (result.outcome, "Nothing was charged" in result.text) == (
        Outcome.ROUND_CLOSED,
        True,
    )
    assert device.agent.ledger.charges() == []
    assert "send_update" not in device.server.calls


async def test_a_new_model_makes_the_waiting_update_worthless(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.worker.calls == ["train", "train", "seal"]


async def test_pause_holds_back_passes_and_survives_a_restart(device):
    await device.join()
    status = await device.call("pause", seconds=900)
    assert (status["state"], status["paused_until"]) == ("paused", device.clock.now() + 900)
    device.restart()
    result = await device.run_cycle()
    assert (result.outcome, result.reasons[0].code.value) == (Outcome.WAITING, "USER_PAUSED")
    assert device.server.calls == []
    device.clock.advance(901)
    assert (await device.run_cycle()).outcome is Outcome.SENT


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


async def test_p8_a_wrong_model_is_not_trained_on(device):
    await device.join()
    device.server.content = device.server.content[:-1] + b"\x01"
    with pytest.raises(PeerError):
        await device.run_cycle()
    assert device.worker.calls == []
    assert device.agent.status().state is AgentState.ERROR


async def test_p4_a_worker_that_seals_for_another_round_is_found_out_before_the_charge(device):
    await device.join()
    seal = device.worker.seal

    async def other(config, scratch, job_key, attempt):
        return await seal(config, scratch, job_key, "00" * 16)

    device.worker.seal = other
    from agent.errors import InternalError

    with pytest.raises(InternalError):
        await device.run_cycle()
    assert device.agent.ledger.charges() == []


async def test_the_certificate_is_renewed_at_two_thirds_of_its_life(device):
    await device.join()
    await device.run_cycle()
    device.clock.advance(6 * 24 * 3600)
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert device.server.calls.count("renew") == 1


async def test_export_holds_everything_and_no_secret(device, tmp_path):
    import json

    await device.join()
    await device.run_cycle()
    target = tmp_path / "all.json"
    await device.call("export", path=str(target))
    text = target.read_text()
    document = json.loads(text)
    assert len(document["samples"]) == 20
    assert len(document["sent_bytes"]) == len(document["ledger"]["charges"]) == 1
    assert document["consent"][0]["decision"] == "granted"
    assert "PRIVATE KEY" not in text
    assert "ab" * 16 not in text
    assert document["server"] is None
    assert "device" not in device.server.calls
    await device.call("export", path=str(target), server=True)
    (entry,) = document["ledger"]["outbox"]
    held = json.loads(target.read_text())["server"]
    assert held == {
        "device_id": entry["receipt"]["receipt"]["device_id"],
        "updates": [entry["round_id"]],
    }
    await device.call("consent.withdraw", surface="cli")
    with pytest.raises(UserActionError, match="withdrew"):
        await device.call("export", path=str(target), server=True)


async def test_p11_a_full_disk_charges_nothing_and_sends_nothing(device):
    await device.join()
    await device.run_cycle(hold_s=600)
    database = device.agent.database
    (pages,) = database.row("PRAGMA page_count")
    database.row(f"PRAGMA max_page_count = {pages}")
    device.worker.payload_bytes = 1_000_000
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "DISK_FULL"
    assert device.server.updates == {}
    assert device.agent.ledger.charges() == []
    database.row("PRAGMA max_page_count = 1000000")
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert len(device.agent.ledger.charges()) == 1


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


async def test_interrupted_training_goes_on_where_it_was(device):
    await device.join()
    train, used = device.worker.train, []

    async def interrupted(task, model, rows, labels, scratch, job_key):
        used.append((scratch, job_key))
        if len(used) == 1:
            raise UserActionError(
                "TRAINING_INTERRUPTED",
                "Training was interrupted and kept.",
                "It goes on where it was.",
            )
        return await train(task, model, rows, labels, scratch, job_key)

    device.worker.train = interrupted
    assert (await device.run_cycle()).outcome is Outcome.WAITING
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert used[0] == used[1]
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert used[2] != used[1]


async def test_interrupted_training_goes_on_after_a_crash_and_not_after_a_withdrawal(device):
    await device.join()
    used = []

    async def interrupted(task, model, rows, labels, scratch, job_key):
        used.append((scratch, job_key))
        Path(scratch).write_bytes(b"half")
        Path(scratch + ".checkpoint").write_bytes(b"encrypted")
        raise UserActionError(
            "TRAINING_INTERRUPTED",
            "Training was interrupted and kept.",
            "It goes on where it was.",
        )

    device.worker.train = interrupted
    await device.run_cycle()
    device.restart()
    assert [path.suffix for path in (device.home / "scratch").iterdir()] == [".checkpoint"]
    await device.run_cycle()
    assert used[0] == used[1]
    assert used[0][1].hex() not in str(device.agent.values.all())
    device.add_rows(30)
    await device.run_cycle()
    assert not {*used[2]} & {*used[1]}  # other rows: another training
    await device.call("consent.withdraw", surface="tray")
    assert list((device.home / "scratch").iterdir()) == []
    await device.grant()
    await device.run_cycle()
    assert not {*used[3]} & {*used[2]}


def children_of_this_process():
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(stat.parent.name)
    return set(found)


@pytest.fixture
def real_device(tmp_path):
    from agent.supervisor.worker import ProcessWorker

    device = Device(tmp_path, worker=ProcessWorker)
    yield device
    device.close()


@pytest.mark.slow
async def test_the_whole_way_with_a_real_worker_and_withdrawal_in_its_training(real_device):
    device, before = real_device, children_of_this_process()
    await device.join()
    running = asyncio.create_task(device.run_cycle())
    async with asyncio.timeout(60):
        while not children_of_this_process() - before:
            await asyncio.sleep(0.01)
    await within(1, device.call("consent.withdraw", surface="tray"))
    assert children_of_this_process() == before
    assert list((device.home / "scratch").iterdir()) == []
    assert (await running).outcome is Outcome.STOPPED
    assert device.server.updates == {}
    await device.grant()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert (await device.call("ledger", verify=True))["verified"] is True
