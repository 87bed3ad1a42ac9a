"""A device's head moves with its update or not at all, and goes with the device."""

import pytest

from agent.errors import AegisError
from agent.protocol.ledger_heads import HeadStep, ShownHeads
from tests.fakes.stored_rows import NOW, add_device, round_config

H0, H1, H2 = (f"{n:02d}" * 32 for n in (10, 11, 12))
ME, TWIN = "11" * 16, "22" * 16


@pytest.fixture
def device(store):
    add_device(store, "one")
    for round_id in (1, 2):
        store.rounds.open(round_config(round_id), 3)
    return store


def show(store, count, *heads, session=ME, lease_s=0):
    store.ledger_heads.show("one", ShownHeads(count, heads), session, NOW, lease_s)


def send(store, step, round_id=1, body=b"update"):
    return store.updates.add("one", round_id, body, "digest", "receipt", NOW, step)


def known(store):
    ledger = store.devices.record("one")["ledger"]
    return ledger and (ledger["charges"], ledger["head"])


def code_of(call, *arguments, **options):
    with pytest.raises(AegisError) as raised:
        call(*arguments, **options)
    return raised.value.code


def test_the_newest_head_is_kept(device):
    assert known(device) is None
    show(device, 0, H0)
    show(device, 1, H0, H1)
    assert known(device) == (1, H1)


def test_p10_an_update_and_its_head_are_stored_together(device):
    show(device, 0, H0)
    send(device, HeadStep(1, H0, H1))
    assert known(device) == (1, H1)
    assert code_of(send, device, HeadStep(1, H0, H2), 2) == "LEDGER_FORKED"
    assert known(device) == (1, H1)
    assert len(device.devices.record("one")["updates"]) == 1


def test_p5_a_refused_update_does_not_move_the_head(device):
    show(device, 0, H0)
    assert code_of(send, device, HeadStep(1, H0, H1), 9) == "ROUND_CLOSED"
    assert known(device) == (0, H0)


def test_a_reservation_outlives_the_process_that_made_it(device):
    show(device, 0, H0, lease_s=60)
    assert code_of(show, device, 0, H0, session=TWIN) == "LEDGER_RESERVED"
    assert device.devices.record("one")["ledger"]["process"] == ME


def test_a_device_without_heads_sends_as_before(device):
    device.ledger_heads.show("one", None, "", NOW, 0)
    send(device, None)
    assert known(device) is None


def test_p5_a_device_that_showed_a_head_must_go_on_showing_it(device):
    show(device, 0, H0)
    assert code_of(device.ledger_heads.show, "one", None, "", NOW, 0) == "LEDGER_UNSHOWN"
    assert code_of(send, device, None) == "LEDGER_UNSHOWN"


def test_a_refused_copy_is_counted_and_moves_no_head(device):
    device.ledger_heads.note_copy("one", NOW)  # no head yet: nothing that a copy could contradict
    assert device.copies() == {"devices_copied": 0, "copies_refused": 0}
    show(device, 1, H0, H1)
    device.ledger_heads.note_copy("one", NOW + 1)
    device.ledger_heads.note_copy("one", NOW + 2)
    show(device, 2, H1, H2)
    ledger = device.devices.record("one")["ledger"]
    assert (ledger["copies_refused"], ledger["copy_refused_at"]) == (2, NOW + 2)
    assert known(device) == (2, H2)
    assert device.copies() == {"devices_copied": 1, "copies_refused": 2}


def test_erasing_a_device_deletes_its_head(device):
    show(device, 1, H0, H1)
    device.devices.erase("one")
    add_device(device, "one")
    assert known(device) is None
