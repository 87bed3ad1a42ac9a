"""A proof excludes its device once a round, survives a restart, and goes with its device."""

import pytest

from server_stub.quarantine.evidence import Evidence, Proof, Verdict
from server_stub.quarantine.exclusion import Exclusion
from server_stub.storage.store import Store
from tests.fakes.stored_rows import NOW, add_device


def proof(device_id="urn:uuid:liar", witness="urn:uuid:witness"):
    return Proof(
        Verdict(device_id, "SECRET_FALSE"), Evidence("coin", {"ids": [device_id, witness]})
    )


@pytest.fixture
def filled(store):
    for device_id in ("urn:uuid:liar", "urn:uuid:witness"):
        add_device(store, device_id)
    return store


def add(store, round_id, now=NOW, **who):
    with store.round_events.transaction() as work:
        work.add_proof(round_id, proof(**who), now)


def test_each_round_with_a_proof_doubles_the_rounds_that_the_device_misses(filled):
    for round_id in (1, 3, 6):
        add(filled, round_id, NOW + round_id)
        add(filled, round_id, NOW + round_id)  # another proof of the same round changes nothing
    assert filled.proofs.exclusions("urn:uuid:liar") == [
        Exclusion("urn:uuid:liar", "SECRET_FALSE", round_id, NOW + round_id, rounds)
        for round_id, rounds in ((1, 1), (3, 2), (6, 4))
    ]
    assert filled.proofs.exclusions("urn:uuid:witness") == []


def test_proofs_survive_a_restart(filled, url):
    add(filled, 4)
    filled.close()
    again = Store(url)
    assert again.proofs.all() == [Exclusion("urn:uuid:liar", "SECRET_FALSE", 4, NOW, 1)]
    assert again.proofs.evidence("urn:uuid:liar", 4) == proof().evidence
    again.close()


def test_a_release_ends_every_exclusion_and_what_follows_from_it(filled):
    add(filled, 1)
    add(filled, 3)
    assert filled.proofs.release("urn:uuid:liar", NOW + 9) == 2
    assert filled.proofs.release("urn:uuid:liar", NOW + 10) == 0
    add(filled, 5)
    found = filled.proofs.exclusions("urn:uuid:liar")
    assert [(one.rounds, one.released_at) for one in found] == [
        (1, NOW + 9),
        (2, NOW + 9),
        (1, None),
    ]


def test_a_proof_goes_with_its_device(filled, tmp_path):
    add(filled, 1)
    assert filled.devices.record("urn:uuid:liar")["proofs"][0]["code"] == "SECRET_FALSE"
    filled.devices.erase("urn:uuid:liar")
    assert filled.proofs.all() == []
    add(filled, 2)  # found while it was erased
    assert filled.proofs.all() == []
    filled.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("aggregator.sqlite3*"))
    assert b"urn:uuid:liar" not in content


def test_evidence_goes_with_a_device_that_it_names_and_the_exclusion_stays(filled, tmp_path):
    add(filled, 1)
    filled.devices.erase("urn:uuid:witness")
    assert filled.proofs.evidence("urn:uuid:liar", 1) is None
    assert len(filled.proofs.exclusions("urn:uuid:liar")) == 1
    filled.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("aggregator.sqlite3*"))
    assert b"urn:uuid:witness" not in content
