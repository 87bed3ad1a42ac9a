"""Evidence from suspicion names one device, and its judge comes to the same verdict."""

import json

import numpy as np
import pytest

from agent.errors import PeerError
from server_stub.quarantine.evidence import Evidence
from server_stub.validation.suspicion import GroupTest
from server_stub.validation.suspicion_evidence import CODE, judge, proofs


def rounds(attackers, seed=1, count=14):
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        tests = [
            GroupTest(
                tuple(f"urn:{one:03}" for one in members),
                float(draw.normal() - 7 * len(set(members.tolist()) & set(attackers))),
            )
            for members in np.array_split(draw.permutation(384), 12)
        ]
        found.append(tuple(tests))
    return found


@pytest.fixture(scope="module")
def proof():
    (found,) = proofs(rounds([5]))
    return found


def test_the_judge_of_stored_evidence_names_the_same_device_and_no_other_is_named_in_it(proof):
    assert (proof.verdict.device_id, proof.verdict.code) == ("urn:005", CODE)
    stored = json.dumps(proof.evidence.to_json())
    assert stored.count("urn:") == 1
    again = Evidence.from_json(json.loads(stored))
    assert judge(again.facts, "") == proof.verdict


@pytest.mark.parametrize(
    "change", [{"number": 6}, {"rounds": []}, {"rounds": [[1]]}, {"number": "x"}]
)
def test_other_facts_prove_nothing(proof, change):
    with pytest.raises(PeerError) as raised:
        judge({**proof.evidence.facts, **change}, "")
    assert raised.value.code == "NO_PROOF"


def test_honest_rounds_give_no_proof():
    assert proofs(rounds([])) == []
