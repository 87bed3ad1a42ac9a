"""A finished update is kept, waits, and is deleted once it can no longer be used."""

import pytest

from agent.rounds.outcome import CycleResult, Outcome, TrainedUpdate
from agent.rounds.ready_slot import SLOT_S
from tests.fakes.charges import record_charge

SENT = CycleResult(Outcome.SENT, "Sent.")
CLOSED = CycleResult(Outcome.ROUND_CLOSED, "Closed.")


@pytest.fixture
def updates(device):
    return device.agent.runner.updates


@pytest.fixture
def kept(device, updates):
    """A finished update in the store, with its file in scratch."""
    scratch = device.home / "scratch" / "0123456789abcdef"
    scratch.write_bytes(b"encrypted")
    update = TrainedUpdate(
        scratch,
        bytes(32),
        1,
        device.server.config.model_digest,
        20,
        device.clock.now() - 5,
        device.clock.now(),
    )
    updates.keep(update)
    return update


def test_an_empty_store_fits_no_model_and_has_nothing_to_wait_for(updates):
    assert updates.current is None
    assert not updates.fits(1, "ab" * 32)
    assert updates.hold_reason(600) is None
    updates.settle(SENT)
    updates.restart_hold()
    assert updates.current is None


def test_an_update_fits_the_model_that_it_was_trained_on_only(updates, kept):
    assert updates.current is kept
    assert updates.fits(1, kept.model_digest)
    assert not updates.fits(1, "00" * 32)
    assert not updates.fits(2, kept.model_digest)


def test_an_update_waits_until_its_hold_is_over(device, updates, kept):
    reason = updates.hold_reason(600)
    assert (reason.code.value, reason.setting) == ("HOLD", "hold.minutes")
    assert 0 <= reason.until - kept.begun_at - 600 - SLOT_S < SLOT_S
    assert updates.hold_reason(600) == reason
    device.clock.advance(reason.until - kept.at - 1)
    assert updates.hold_reason(600) is not None
    device.clock.advance(1)
    assert updates.hold_reason(600) is None


def test_what_a_person_starts_does_not_wait_and_without_a_hold_the_slot_still_counts(updates, kept):
    assert updates.hold_reason(None) is None
    assert updates.hold_reason(0).until >= kept.begun_at + SLOT_S


def test_a_hold_starts_again_after_the_clock_was_set_back(device, updates, kept):
    device.clock.wall -= 10_000
    before = updates.hold_reason(600).until
    updates.restart_hold()
    assert updates.hold_reason(600).until == before - 10_000 + 5


def test_discarding_deletes_the_update_and_its_file(updates, kept):
    updates.discard()
    assert updates.current is None
    assert not kept.scratch.exists()


@pytest.mark.parametrize("result", [CLOSED, None], ids=["round closed", "error"])
def test_p4_an_update_that_was_not_sent_is_kept_for_one_more_seal(device, updates, kept, result):
    record_charge(device)
    updates.settle(result)
    assert updates.current is kept


@pytest.mark.parametrize("result", [CLOSED, None], ids=["round closed", "error"])
def test_p4_an_update_that_may_not_be_sealed_again_is_deleted(device, updates, kept, result):
    device.agent.effective.keep_task(device.server.task.to_json())
    share = device.agent.effective.budget().rho_units // 4
    record_charge(device, rho_units=1000)
    updates.settle(result)
    assert updates.current is kept
    record_charge(device, rho_units=share)
    updates.settle(result)
    assert updates.current is None
    assert not kept.scratch.exists()


def test_an_update_that_was_sent_is_deleted(updates, kept):
    updates.settle(SENT)
    assert updates.current is None
    assert not kept.scratch.exists()


def test_an_update_discarded_on_its_way_is_deleted_when_that_ends(updates, kept):
    updates.discard_when_settled()
    assert updates.current is kept
    updates.settle(CLOSED)
    assert updates.current is None


def test_a_discard_on_the_way_counts_for_one_update_only(updates, kept):
    updates.discard_when_settled()
    updates.settle(CLOSED)
    updates.keep(kept)
    updates.settle(CLOSED)
    assert updates.current is kept


async def test_a_finished_update_waits_in_the_cycle_and_can_be_discarded(device):
    await device.join()
    device.server.stay_open()
    result = await device.run_cycle(hold_s=600)
    assert result.outcome is Outcome.WAITING
    assert result.reasons[0].until >= device.clock.now() + 600 + SLOT_S
    assert device.agent.ledger.charges() == []
    await device.call("discard")
    assert list((device.home / "scratch").iterdir()) == []
    await device.run_cycle(hold_s=600)
    device.clock.advance(600)
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.WAITING
    device.clock.advance(2 * SLOT_S)
    assert (await device.run_cycle(hold_s=600)).outcome is Outcome.SENT
    assert device.worker.calls == ["train", "train", "seal"]
