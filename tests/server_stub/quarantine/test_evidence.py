"""Evidence goes to the judge that it names, and survives its way through JSON."""

import json

import pytest

from agent.errors import PeerError
from server_stub.quarantine.evidence import Evidence, Proof, Verdict, judged, no_proof

EVIDENCE = Evidence("coin", {"side": "heads"})


def coin(facts, ca_pem):
    if facts["side"] != "heads":
        raise no_proof("tails")
    return Verdict(ca_pem, "CAUGHT")


def test_the_judge_that_evidence_names_gives_the_verdict():
    assert judged(EVIDENCE, "one", {"coin": coin}) == Verdict("one", "CAUGHT")


@pytest.mark.parametrize("evidence", [Evidence("coin", {"side": "tails"}), Evidence("dice", {})])
def test_without_a_judge_or_a_verdict_nothing_is_proven(evidence):
    with pytest.raises(PeerError) as raised:
        judged(evidence, "one", {"coin": coin})
    assert raised.value.code == "NO_PROOF"


def test_a_proof_survives_json():
    proof = Proof(Verdict("one", "CAUGHT"), EVIDENCE)
    assert Proof.from_json(json.loads(json.dumps(proof.to_json()))) == proof


def test_evidence_without_a_judge_is_none():
    with pytest.raises(PeerError):
        Evidence.from_json({"side": "heads"})
