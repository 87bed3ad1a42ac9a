"""The outbox charges and stores a body before it sends it, and sends the stored bytes only (P4)."""

import pytest

from agent.consent.record import Act, Evidence
from agent.errors import PeerError, UserActionError
from agent.privacy.zcdp import rho_local_units, rho_units
from agent.protocol.signing import Context, public_hex, verify
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.outbox import FINAL, Outbox
from agent.rounds.outcome import Outcome
from agent.store.ledger import OutboxState
from agent.store.ledger_errors import forked_error
from agent.transport.server_clock import ServerClock


def offline():
    return UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")


async def test_p10_after_a_lost_receipt_the_same_bytes_are_sent_again_and_charged_once(device):
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


async def test_p4_an_update_that_never_left_is_not_sent_after_its_round_closed(device):
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


async def test_p2_a_crash_in_the_middle_of_a_withdrawal_still_empties_the_outbox(device):
    await device.join()
    device.server.fail("send_update", offline())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    notice = await device.call("consent.show")
    evidence = Evidence(notice["notice_id"], notice["text_sha256"], "en", "tray")
    device.agent.record.act(
        device.agent.gate.consent_status(), Act.WITHDRAW, evidence, "contribute", ""
    )
    device.restart()  # killed between the record and the clearing
    assert device.agent.ledger.unsent() == []
    assert [entry.state for entry in device.agent.ledger.entries()] == [OutboxState.WITHDRAWN]


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


@pytest.mark.parametrize(
    ("code", "state"), [(code, FINAL[code]) for code in FINAL if code != "LEDGER_FORKED"]
)
async def test_an_update_that_the_server_refuses_is_settled_and_not_sent_again(device, code, state):
    await device.join()
    device.server.fail("send_update", PeerError(code, "The server refused it.", ""))
    result = await device.run_cycle()
    assert (result.outcome, result.text) == (
        Outcome.ROUND_CLOSED,
        "The server refused it. The charge stands.",
    )
    (entry,) = device.agent.ledger.entries()
    assert (entry.state, entry.settled_at) == (state, device.clock.now())
    assert len(device.agent.ledger.charges()) == 1
    device.server.fail("send_update", None)
    assert (await device.run_cycle()).outcome is Outcome.ALREADY_CONTRIBUTED
    assert device.server.updates == {}


async def test_p5_an_update_of_a_copy_is_settled_and_its_ledger_counts_as_spent(device):
    await device.join()
    device.server.fail("send_update", forked_error())
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "LEDGER_FORKED"
    (entry,) = device.agent.ledger.entries()
    assert entry.state is OutboxState.REFUSED
    device.restart()
    with pytest.raises(UserActionError):
        device.agent.ledger.charges()


@pytest.mark.parametrize("code", ["SERVER_ERROR", "SERVER_BUSY", "BAD_ANSWER", "BAD_SIGNATURE"])
async def test_an_update_whose_sending_failed_stays_in_the_outbox(device, code):
    await device.join()
    device.server.fail("send_update", PeerError(code, "It failed.", ""))
    with pytest.raises(PeerError):
        await device.run_cycle()
    (entry,) = device.agent.ledger.unsent()
    assert entry.state is OutboxState.UNSENT
    device.server.fail("send_update", None)
    assert (await device.run_cycle()).outcome is Outcome.SENT
    assert len(device.agent.ledger.charges()) == 1


async def test_the_signed_receipt_is_kept_as_it_was_received(device):
    await device.join()
    await device.run_cycle()
    (entry,) = device.agent.ledger.entries()
    receipt = entry.receipt["receipt"]
    assert receipt["body_sha256"] == entry.sha256
    verify(
        public_hex(device.server.signing_key), Context.RECEIPT, receipt, entry.receipt["signature"]
    )


async def test_a_charge_names_the_round_and_both_of_its_prices(device):
    await device.join()
    await device.run_cycle()
    (charge,), config = device.agent.ledger.charges(), device.server.config
    assert (charge.round_id, charge.model_digest, charge.config_digest) == (
        config.round_id,
        config.model_digest,
        config.digest,
    )
    assert (charge.rho_units, charge.rho_local_units) == (
        rho_units(config),
        rho_local_units(config),
    )


async def test_p2_bytes_that_were_withdrawn_cannot_be_sent(device):
    await device.join()
    device.server.fail("send_update", offline())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    (entry,) = device.agent.ledger.unsent()
    outbox = Outbox(
        device.clock,
        ServerClock(device.clock),
        AgreedClock(device.clock, device.agent.values),
        device.agent.ledger,
        device.agent.blocking_pool.run,
    )
    outbox.withdraw()
    with pytest.raises(UserActionError) as raised:
        await outbox.send(device.agent.gate.permit(), None, entry.attempt)
    assert raised.value.code == "WITHDRAWN"
    assert outbox.waiting() == []
