import sqlite3

import pytest

from agent.errors import PeerError
from server_stub.rounds.event_log import RoundEvent
from server_stub.rounds.lifecycle import Event
from server_stub.storage import round_events
from tests.fakes.stored_rows import NOW, add_device, round_config

EVENTS = [
    RoundEvent("open", NOW, body=b'{"capacity": 3}'),
    RoundEvent("advertise", NOW + 1, "one", 0, b"\x00key"),
    RoundEvent("masked", NOW + 2, "one", 0, b"input of one"),
    RoundEvent("masked", NOW + 2, "two", 1, b"input of two"),
    RoundEvent("advance", NOW + 3, group=1),
]


@pytest.fixture
def filled(store):
    """A store with an open round of EVENTS."""
    add_device(store, "one")
    with store.round_events.transaction() as transaction:
        transaction.open(round_config(), expected=3)
        transaction.add(1, EVENTS)
    return store


def test_events_are_read_in_the_order_in_which_they_were_added(filled):
    assert filled.round_events.events(1) == EVENTS
    assert filled.round_events.events(2) == []
    assert filled.rounds.get(1).target == 3


def test_events_go_with_the_end_of_their_round(filled):
    filled.rounds.abandon(1, Event.REPLACED, NOW, "")
    assert filled.round_events.events(1) == []


def test_a_transaction_that_fails_changes_nothing(filled):
    def fail():
        with filled.round_events.transaction() as transaction:
            transaction.add(1, EVENTS)
            transaction.add_receipt(1, "one", body_sha256="00", size=3, receipt="{}", now=NOW)
            transaction.open(round_config(1), expected=9)

    with pytest.raises(sqlite3.IntegrityError):
        fail()
    assert filled.round_events.events(1) == EVENTS
    assert filled.updates.receipt(1, "one") is None


def test_a_device_that_leaves_takes_its_own_masked_input_away(filled):
    with filled.round_events.transaction() as transaction:
        transaction.delete_input(1, "one")
    bodies = {(one.kind, one.device_id): one.body for one in filled.round_events.events(1)}
    assert bodies["masked", "one"] is None
    assert bodies["masked", "two"] == b"input of two"
    assert bodies["advertise", "one"] == b"\x00key"


def test_a_receipt_has_no_content_of_its_own(filled):
    with filled.round_events.transaction() as transaction:
        transaction.add_receipt(1, "one", body_sha256="ab", size=12, receipt="{}", now=NOW)
    assert filled.updates.receipt(1, "one") == ("ab", "{}")
    assert list(filled.updates.bodies(1)) == []
    (update,) = filled.devices.record("one")["updates"]
    assert (update["bytes"], update["content_held"]) == (12, True)  # The masked input is stored.


@pytest.mark.parametrize(
    ("round_id", "device_id", "code"),
    [(1, "one", None), (2, "one", "ROUND_CLOSED"), (1, "stranger", "REVOKED")],
)
def test_only_an_enrolled_device_takes_part_in_an_open_round(filled, round_id, device_id, code):
    with filled.round_events.transaction() as transaction:
        if code is None:
            transaction.require_open(round_id, device_id)
        else:
            with pytest.raises(PeerError) as refused:
                transaction.require_open(round_id, device_id)
            assert refused.value.code == code


def test_devices_that_are_revoked_erased_or_unknown_are_ineligible(store, monkeypatch):
    monkeypatch.setattr(round_events, "CHUNK", 3)
    names = [f"device {number}" for number in range(10)]
    for name in names:
        add_device(store, name)
    store.devices.revoke(names[2], NOW)
    store.devices.erase(names[7])
    assert store.round_events.ineligible({*names, "a stranger"}) == [
        "a stranger",
        names[2],
        names[7],
    ]
    assert store.round_events.ineligible([]) == []
