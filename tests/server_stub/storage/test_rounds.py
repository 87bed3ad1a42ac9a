import sqlite3

import pytest
from sqlalchemy.exc import IntegrityError

from agent.errors import InternalError
from server_stub.rounds.lifecycle import Event, State
from tests.fakes.stored_rows import LIFETIME_S, NOW, add_device, model, round_config, send_update

CLOSES_AT = NOW + LIFETIME_S


def opened(store, updates, target=3, round_id=1):
    """Open a round with this many updates."""
    store.rounds.open(round_config(round_id), target)
    for number in range(updates):
        add_device(store, f"device {number}")
        send_update(store, f"device {number}", round_id)


def test_a_stored_round_is_read_as_it_was_opened(store):
    assert store.rounds.newest() is None
    assert store.rounds.get(1) is None
    assert store.rounds.all() == []
    for round_id in (1, 2):
        store.rounds.open(round_config(round_id), target=3)
    first, second = store.rounds.all()
    assert (first, second) == (store.rounds.get(1), store.rounds.newest())
    assert (second.round_id, second.state, second.target, second.updates) == (2, State.OPEN, 3, 0)
    assert second.config.closes_at == CLOSES_AT
    assert (second.closed_at, second.model_version, second.note, second.record) == (
        None,
        None,
        "",
        {},
    )


def test_a_round_number_is_used_once(store):
    opened(store, 1)
    with pytest.raises(sqlite3.IntegrityError):
        store.rounds.open(round_config(1), target=9)
    assert (store.rounds.get(1).target, store.rounds.get(1).updates) == (3, 1)


@pytest.mark.parametrize(
    ("updates", "minimum", "now", "state"),
    [
        (2, 1, CLOSES_AT - 1, State.OPEN),
        (3, 1, NOW, State.COMBINING),
        (2, 2, CLOSES_AT, State.COMBINING),
        (1, 2, CLOSES_AT, State.ABANDONED),
        (0, 0, CLOSES_AT, State.ABANDONED),
    ],
    ids=["early", "full", "deadline", "too few", "none"],
)
def test_a_round_closes_when_it_is_full_or_over(store, updates, minimum, now, state):
    opened(store, updates)
    assert store.rounds.close_if_due(1, minimum, now) == state
    assert store.rounds.close_if_due(1, minimum, now) == state
    stored = store.rounds.get(1)
    assert (stored.state, stored.updates) == (state, updates)
    assert stored.closed_at == (now if state is State.ABANDONED else None)
    has_content = state is not State.ABANDONED
    assert len(list(store.updates.bodies(1))) == (updates if has_content else 0)


def test_an_abandoned_round_keeps_its_note_and_no_content(store):
    opened(store, 2)
    store.rounds.abandon(1, Event.REPLACED, NOW + 5, "another model", {"groups": []})
    stored = store.rounds.get(1)
    assert (stored.state, stored.closed_at, stored.note) == (
        State.ABANDONED,
        NOW + 5,
        "another model",
    )
    assert (stored.updates, stored.record) == (2, {"groups": [], "ended": Event.REPLACED})
    assert list(store.updates.bodies(1)) == []
    assert store.updates.receipt(1, "device 0") is not None
    store.rounds.abandon(1, Event.REPLACED, NOW + 9, "again")
    assert store.rounds.get(1) == stored


def test_groups_close_a_round_once_with_their_record(store):
    opened(store, 2)
    store.rounds.close_groups(1, {"groups": [{"m": 2}]}, NOW)
    store.rounds.close_groups(1, {"groups": []}, NOW)
    stored = store.rounds.get(1)
    assert (stored.state, stored.closed_at) == (State.COMBINING, None)
    assert stored.record == {"groups": [{"m": 2}]}


def test_a_finished_round_has_its_model_and_no_content(store):
    opened(store, 3)
    store.rounds.close_if_due(1, 1, NOW)
    store.rounds.finish(1, 3, model(2), NOW + 9, {"groups": [{"m": 3}]})
    stored = store.rounds.get(1)
    assert (stored.state, stored.closed_at, stored.model_version, stored.updates) == (
        State.DONE,
        NOW + 9,
        2,
        3,
    )
    assert stored.record == {"groups": [{"m": 3}]}
    assert store.models.newest() == model(2)
    assert list(store.updates.bodies(1)) == []
    assert store.updates.receipt(1, "device 0") is not None


def test_a_round_that_is_open_cannot_finish(store):
    opened(store, 3)
    with pytest.raises(InternalError) as refused:
        store.rounds.finish(1, 3, model(2), NOW)
    assert refused.value.code == "ROUND_STATE"
    assert store.rounds.get(1).state is State.OPEN
    assert store.models.newest_version() == 0


def test_a_model_version_that_is_taken_leaves_the_round_as_it_was(store):
    store.models.add(model(2, b"the operator's"), NOW)
    opened(store, 3)
    store.rounds.close_if_due(1, 1, NOW)
    with pytest.raises(IntegrityError):
        store.rounds.finish(1, 3, model(2), NOW)
    assert store.rounds.get(1).state is State.COMBINING
    assert len(list(store.updates.bodies(1))) == 3
