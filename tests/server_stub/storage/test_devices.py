import pytest
from sqlalchemy.exc import NoResultFound

from server_stub.storage.devices import KEEP_EXPIRED_S, MAX_KEYS
from server_stub.storage.records import RegisteredCertificate
from tests.fakes.stored_rows import (
    LIFETIME_S,
    NOW,
    add_device,
    certificate,
    model,
    round_config,
    send_update,
)


def test_a_certificate_names_its_device(store):
    add_device(store, "one")
    add_device(store, "two")
    known = certificate("two")
    assert store.devices.by_certificate(known.fingerprint) == RegisteredCertificate(
        "two", known.public_key, known.not_after, revoked=False
    )
    assert store.devices.by_certificate("00" * 32) is None
    assert store.devices.keys("nobody") == []


def test_a_repeated_registration_changes_nothing(store):
    add_device(store, "one")
    before = store.devices.record("one")
    store.devices.add("one", certificate("one"), "another hash", NOW + 5)
    assert store.devices.record("one") == before
    assert store.devices.erase_hash("one") == "erase hash of one"
    assert store.devices.erase_hash("nobody") is None


def test_keys_are_the_newest_ones_first(store):
    add_device(store, "one")
    for number in range(MAX_KEYS + 2):
        renewed = certificate(f"renewal {number}", NOW + 86_400 * (2 + number))
        store.devices.add_certificate("one", renewed, NOW)
    ends = [key.not_after for key in store.devices.keys("one")]
    assert ends == [NOW + 86_400 * (2 + number) for number in (5, 4, 3, 2)]


def test_a_key_outlives_its_certificate_for_as_long_as_it_may_renew(store):
    add_device(store, "one")
    end = certificate("one").not_after
    late = certificate("late", end + 10**9)
    store.devices.add_certificate("one", late, end + KEEP_EXPIRED_S)
    assert len(store.devices.keys("one")) == 2
    store.devices.add_certificate("one", late, end + KEEP_EXPIRED_S + 1)
    assert [key.public_key for key in store.devices.keys("one")] == [late.public_key]


def test_a_revoked_device_is_marked_once_and_loses_its_open_update_only(store):
    add_device(store, "one")
    store.rounds.open(round_config(1), target=1)
    assert send_update(store, "one", 1)
    store.rounds.close_if_due(1, minimum=1, now=NOW)
    store.rounds.open(round_config(2), target=5)
    send_update(store, "one", 2)
    assert store.devices.revoke("one", NOW + 1)
    assert store.devices.revoke("one", NOW + 2)
    assert not store.devices.revoke("nobody", NOW)
    record = store.devices.record("one")
    assert record["revoked_at"] == NOW + 1
    assert [update["round_id"] for update in record["updates"]] == [1]
    assert store.devices.by_certificate(certificate("one").fingerprint).revoked


def test_erasing_deletes_all_but_a_nameless_update_that_is_being_combined(store, tmp_path):
    add_device(store, "urn:uuid:erased")
    add_device(store, "urn:uuid:other")
    store.rounds.open(round_config(1), target=2)
    send_update(store, "urn:uuid:erased", 1, b"in the sum")
    send_update(store, "urn:uuid:other", 1, b"as well")
    store.rounds.close_if_due(1, minimum=1, now=NOW)
    store.rounds.open(round_config(2), target=5)
    send_update(store, "urn:uuid:erased", 2)
    store.devices.erase("urn:uuid:erased")
    assert store.devices.by_certificate(certificate("urn:uuid:erased").fingerprint) is None
    with pytest.raises(NoResultFound):
        store.devices.record("urn:uuid:erased")
    assert sorted(store.updates.bodies(1)) == [b"as well", b"in the sum"]
    assert store.rounds.get(2).updates == 0
    store.rounds.finish(1, 2, model(2), NOW)
    assert store.counts()["updates"] == 1
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("aggregator.sqlite3*"))
    assert b"urn:uuid:erased" not in content
    assert b"urn:uuid:other" in content


def test_a_record_lists_everything_about_a_device(store):
    add_device(store, "one")
    store.rounds.open(round_config(1), target=5)
    send_update(store, "one", 1, b"body", now=NOW + 7)
    record = store.devices.record("one")
    (update,) = record["updates"]
    assert (update["bytes"], update["received_at"], update["content_held"]) == (4, NOW + 7, True)
    assert [one["sha256"] for one in record["certificates"]] == [certificate("one").fingerprint]
    assert record["erase_secret"] == "as a hash only"
    store.rounds.close_if_due(1, minimum=9, now=NOW + LIFETIME_S)
    (update,) = store.devices.record("one")["updates"]
    assert update["content_held"] is False


def test_the_inventory_is_in_the_order_of_enrolment(store):
    add_device(store, "late", NOW + 2)
    add_device(store, "early", NOW + 1)
    store.devices.add_certificate("early", certificate("next", NOW + 10**6), NOW)
    store.rounds.open(round_config(1), target=5)
    send_update(store, "late", 1)
    store.devices.revoke("early", NOW)
    assert store.devices.inventory() == [
        {
            "device_id": "early",
            "enrolled_at": NOW + 1,
            "revoked": True,
            "certificate_until": NOW + 10**6,
            "updates": 0,
            "copies_refused": 0,
            "copy_refused_at": None,
        },
        {
            "device_id": "late",
            "enrolled_at": NOW + 2,
            "revoked": False,
            "certificate_until": certificate("late").not_after,
            "updates": 1,
            "copies_refused": 0,
            "copy_refused_at": None,
        },
    ]
