import sqlite3

import pytest

from agent.errors import PeerError
from server_stub.storage.updates import BATCH
from tests.fakes.stored_rows import LIFETIME_S, NOW, add_device, round_config, send_update


def refusal(store, device_id, round_id=1, now=NOW):
    with pytest.raises(PeerError) as refused:
        send_update(store, device_id, round_id, now=now)
    return refused.value.code


@pytest.fixture
def devices(store):
    names = [f"device {number}" for number in range(4)]
    for name in names:
        add_device(store, name)
    return names


def test_the_last_place_fills_the_round_and_no_further_update_is_taken(store, devices):
    store.rounds.open(round_config(), target=3)
    assert [send_update(store, name) for name in devices[:3]] == [False, False, True]
    assert refusal(store, devices[3]) == "ROUND_CLOSED"
    assert store.rounds.get(1).updates == 3


def test_a_round_takes_updates_until_it_closes(store, devices):
    store.rounds.open(round_config(), target=3)
    closes_at = NOW + LIFETIME_S
    assert refusal(store, devices[0], now=closes_at) == "ROUND_CLOSED"
    send_update(store, devices[0], now=closes_at - 1)
    store.rounds.close_if_due(1, minimum=1, now=closes_at)
    assert refusal(store, devices[1]) == "ROUND_CLOSED"
    assert refusal(store, devices[1], round_id=9) == "ROUND_CLOSED"


def test_only_an_enrolled_device_that_is_not_revoked_may_send(store, devices):
    store.rounds.open(round_config(), target=3)
    store.devices.revoke(devices[0], NOW)
    store.devices.erase(devices[1])
    assert [refusal(store, name) for name in (*devices[:2], "a stranger")] == ["REVOKED"] * 3
    assert store.rounds.get(1).updates == 0


def test_a_device_has_one_update_and_one_receipt_in_a_round(store, devices):
    store.rounds.open(round_config(), target=3)
    send_update(store, devices[0], body=b"first")
    with pytest.raises(sqlite3.IntegrityError):
        send_update(store, devices[0], body=b"second")
    assert list(store.updates.bodies(1)) == [b"first"]
    sha256 = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
    assert store.updates.receipt(1, devices[0]) == (sha256, f"receipt of {devices[0]}")
    assert store.updates.receipt(1, devices[1]) is None
    assert store.updates.receipt(2, devices[0]) is None


def test_more_updates_than_a_batch_are_all_read(store):
    count = 2 * BATCH + 3
    store.rounds.open(round_config(), target=count)
    for number in range(count):
        add_device(store, str(number))
        send_update(store, str(number), body=number.to_bytes(2))
    assert sorted(store.updates.bodies(1)) == [number.to_bytes(2) for number in range(count)]
