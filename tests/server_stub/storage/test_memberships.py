"""Memberships are kept for as many rounds as suspicion reads, and go with their device."""

import pytest

from server_stub.rounds.lifecycle import State
from server_stub.storage.memberships import KEPT_ROUNDS
from tests.fakes.stored_rows import NOW, add_device, round_config


@pytest.fixture
def filled(store):
    for name in ("a", "b", "c"):
        add_device(store, name)
    return store


def reject(store, round_id, *members):
    store.rounds.open(round_config(round_id), 3)
    store.rounds.close_groups(round_id, {}, NOW)
    store.rounds.reject(round_id, NOW + 1, "refused", {"defence": {}}, members)


def test_a_rejected_round_keeps_its_groups_its_note_and_no_model(filled):
    reject(filled, 1, (0, ["b", "a"]), (1, ["c", "unknown"]))
    assert filled.memberships.groups() == {(1, 0): ("a", "b"), (1, 1): ("c",)}
    ended = filled.rounds.get(1)
    assert (ended.state, ended.note, ended.model_version) == (State.REJECTED, "refused", None)
    assert ended.record == {"defence": {}, "ended": "refused"}
    assert ended.failed_without_proof
    assert filled.counts()["rounds_rejected"] == 1


def test_an_erased_device_is_in_no_group(filled):
    reject(filled, 1, (0, ["a", "b"]))
    assert filled.devices.record("a")["groups"] == [{"round_id": 1, "group_number": 0}]
    filled.devices.erase("a")
    assert filled.memberships.groups() == {(1, 0): ("b",)}


def test_rounds_of_long_ago_are_deleted(filled):
    for round_id in (1, 2, KEPT_ROUNDS + 1):
        reject(filled, round_id, (0, ["a"]))
    assert sorted(filled.memberships.groups()) == [(2, 0), (KEPT_ROUNDS + 1, 0)]
