from server_stub.storage.store import Store
from tests.fakes.stored_rows import NOW, add_device, model, round_config, send_update


def test_an_empty_store_counts_nothing(store):
    assert set(store.counts().values()) == {0}


def test_counts_are_those_of_devices_rounds_and_updates(store):
    for name in ("one", "two", "three"):
        add_device(store, name)
    store.devices.revoke("three", NOW)
    store.rounds.open(round_config(1), target=2)
    send_update(store, "one", 1, b"12345")
    send_update(store, "two", 1, b"123")
    store.rounds.close_if_due(1, 1, NOW)
    store.rounds.finish(1, 2, model(1), NOW)
    store.rounds.open(round_config(2), target=2)
    store.models.add(model(2), NOW)
    assert store.counts() == {
        "devices": 2,
        "devices_revoked": 1,
        "rounds_done": 1,
        "rounds_abandoned": 1,
        "rounds_rejected": 0,
        "updates": 2,
        "update_bytes": 8,
    }


def test_two_processes_see_what_the_other_one_stored(store, url):
    other = Store(url)
    add_device(store, "one")
    assert other.devices.erase_hash("one") is not None
    other.models.add(model(1), NOW)
    assert store.models.newest_version() == 1
    other.close()


def test_a_store_that_is_opened_again_has_everything(store, url):
    add_device(store, "one")
    store.rounds.open(round_config(1), target=2)
    before = (store.counts(), store.rounds.all(), store.devices.inventory())
    store.close()
    again = Store(url)
    assert (again.counts(), again.rounds.all(), again.devices.inventory()) == before
    again.close()
