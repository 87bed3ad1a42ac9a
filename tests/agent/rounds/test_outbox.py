"""The outbox charges and stores a body before it sends it, and sends the stored bytes only (P4)."""

import pytest

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome
from agent.store.ledger import Sending


def offline():
    return UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")


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
    assert [entry.state for entry in device.agent.ledger.entries()] == [Sending.UNSENT]
    device.restart()
    device.clock.advance(4000)
    device.server.fail("send_update", None)
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert [entry.state for entry in device.agent.ledger.entries()] == [
        Sending.CLOSED,
        Sending.ACKNOWLEDGED,
    ]
    assert len(device.agent.ledger.charges()) == 2
    assert len(device.server.updates) == 1


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
    assert [entry.state for entry in device.agent.ledger.entries()] == [Sending.WITHDRAWN]


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
