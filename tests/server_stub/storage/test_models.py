import pytest
from sqlalchemy.exc import IntegrityError

from server_stub.rounds.lifecycle import State
from tests.fakes.stored_rows import NOW, model, round_config


def test_models_are_found_by_version_and_the_highest_is_the_newest(store):
    assert (store.models.newest(), store.models.newest_version()) == (None, 0)
    for version in (1, 3, 2):
        store.models.add(model(version, b"%d" % version), NOW)
    assert store.models.newest() == model(3, b"3")
    assert store.models.newest_version() == 3
    assert store.models.get(2) == model(2, b"2")
    assert store.models.get(4) is None


def test_the_inventory_lists_models_without_their_content(store):
    for version in (2, 1):
        store.models.add(model(version), NOW)
    listed = store.models.inventory()
    assert [one["version"] for one in listed] == [1, 2]
    assert set(listed[0]) == {"version", "sha256", "published_at", "demonstration", "origin"}


def test_a_new_model_ends_an_open_round(store):
    store.rounds.open(round_config(1), target=3)
    store.models.add(model(2), NOW + 5)
    ended = store.rounds.get(1)
    assert (ended.state, ended.closed_at) == (State.ABANDONED, NOW + 5)
    assert ended.note == "another model was published"


def test_a_version_that_is_taken_changes_nothing(store):
    store.models.add(model(1, b"first"), NOW)
    store.rounds.open(round_config(1), target=3)
    with pytest.raises(IntegrityError):
        store.models.add(model(1, b"second"), NOW)
    assert store.models.get(1).content == b"first"
    assert store.rounds.get(1).state is State.OPEN
