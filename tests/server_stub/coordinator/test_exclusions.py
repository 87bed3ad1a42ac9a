"""The operator sees who is excluded, until when, and what the judge says of the evidence today."""

import json
import random

import pytest

from agent.protocol.ledger_heads import ShownHeads
from server_stub.coordinator.exclusions import (
    device_evidence,
    device_inventory,
    excluded_devices,
    operator_counts,
)
from server_stub.quarantine.evidence import Evidence, Proof, Verdict
from server_stub.quarantine.exclusion import DAY_S
from server_stub.rounds.lifecycle import Event
from server_stub.storage.store import Store
from tests.fakes.liars import FalseSecretDealer, Honest, Play
from tests.fakes.secagg import Fleet
from tests.fakes.stored_rows import NOW, add_device, round_config


@pytest.fixture
def store(tmp_path):
    opened = Store(f"sqlite:///{tmp_path / 'aggregator.sqlite3'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def convicted():
    """A group with a liar: its fleet and the proof."""
    fleet = Fleet(4)
    kinds, draw = [FalseSecretDealer, Honest, Honest, Honest], random.Random(1)
    players = [
        (kind.of(peer, fleet.config, draw), peer.sealed)
        for kind, peer in zip(kinds, fleet.peers, strict=True)
    ]
    group = Play(fleet.group(), players).run()
    (proof,) = group.proofs.values()
    return fleet, proof


def convict(store, proof, round_id=1):
    with store.round_events.transaction() as work:
        work.add_proof(round_id, proof, NOW)


def test_the_evidence_is_judged_again(store, convicted):
    fleet, proof = convicted
    liar = proof.verdict.device_id
    add_device(store, liar)
    store.rounds.open(round_config(1), 3)
    convict(store, proof)
    shown = device_evidence(store, liar, fleet.authority.pem, NOW)
    (found,) = shown["proofs"]
    assert (found["verified"], found["code"]) == ("verified", "SECRET_FALSE")
    assert found["evidence"] == json.loads(json.dumps(proof.evidence.to_json()))
    assert shown["exclusion"]["until_round"] == 2
    other = Fleet(3).authority.pem
    (found,) = device_evidence(store, liar, other, NOW)["proofs"]
    assert found["verified"].startswith("NOT VERIFIED: ")
    assert device_evidence(store, "urn:uuid:nobody", other, NOW) is None


def test_evidence_of_another_fault_or_of_none_is_not_verified(store, convicted):
    fleet, proof = convicted
    liar = proof.verdict.device_id
    add_device(store, liar)
    convict(store, Proof(Verdict(liar, "SHARE_FALSE"), proof.evidence))
    convict(store, Proof(proof.verdict, Evidence("nobody", {})), 2)
    first, second = device_evidence(store, liar, fleet.authority.pem, NOW)["proofs"]
    assert first["verified"] == "NOT VERIFIED: it proves another fault"
    assert second["verified"] == "NOT VERIFIED: nobody here judges it"


def test_evidence_that_was_erased_says_so(store, convicted):
    fleet, proof = convicted
    liar = proof.verdict.device_id
    add_device(store, liar)
    add_device(store, "urn:uuid:witness")
    evidence = Evidence("group", {**proof.evidence.facts, "witness": "urn:uuid:witness"})
    convict(store, Proof(proof.verdict, evidence))
    store.devices.erase("urn:uuid:witness")
    (found,) = device_evidence(store, liar, fleet.authority.pem, NOW)["proofs"]
    assert found["verified"] == "erased with a device that it names"
    assert found["evidence"] is None


def test_a_device_is_listed_as_excluded_until_its_rounds_or_days_are_over(store, convicted):
    _, proof = convicted
    liar = proof.verdict.device_id
    add_device(store, liar)
    add_device(store, "urn:uuid:honest", NOW + 1)
    assert excluded_devices(store, NOW) == {}
    store.rounds.open(round_config(1), 3)
    convict(store, proof)

    def excluded(now=NOW):
        return [row["device_id"] for row in device_inventory(store, now) if row["exclusion"]]

    assert excluded() == [liar]  # from the next round
    store.rounds.abandon(1, Event.TOO_FEW, NOW, "")
    assert excluded() == [liar]
    assert excluded(NOW + DAY_S) == []
    store.rounds.open(round_config(2), 3)
    assert excluded() == [liar]
    store.rounds.abandon(2, Event.TOO_FEW, NOW, "")
    assert excluded() == []


def test_each_device_has_the_state_that_matters_most(store, convicted):
    _, proof = convicted
    liar, ids = proof.verdict.device_id, ["active", "copied", "revoked"]
    for number, device_id in enumerate([liar, *ids]):
        add_device(store, device_id, NOW + number)
    for device_id in (liar, "copied", "revoked"):
        store.ledger_heads.show(device_id, ShownHeads(0, ("11" * 32,)), "22" * 16, NOW, 0)
        store.ledger_heads.note_copy(device_id, NOW + 5)
    store.ledger_heads.note_copy("copied", NOW + 9)
    store.devices.revoke("revoked", NOW)
    store.rounds.open(round_config(1), 3)
    convict(store, proof)

    def states(now):
        return {row["device_id"]: row["state"] for row in device_inventory(store, now)}

    assert states(NOW) == {
        liar: "excluded",
        "active": "active",
        "copied": "copied",
        "revoked": "revoked",
    }
    assert states(NOW + DAY_S)["copied"] == "expired"
    (copied,) = [row for row in device_inventory(store, NOW) if row["state"] == "copied"]
    assert (copied["copies_refused"], copied["copy_refused_at"]) == (2, NOW + 9)
    assert operator_counts(store, NOW) == {
        "devices_excluded": 1,
        "devices_copied": 3,
        "copies_refused": 4,
    }
