"""An honest log passes a device's checks, and each false statement about it is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from agent.errors import PeerError
from agent.protocol.canonical import canonical
from agent.protocol.issuance import LogHead, check_entry, check_growth, head_bytes, read_head
from agent.protocol.log_tree import Tree, leaf_hash
from tests.fakes.ca import TestAuthority

MINE = "ab" * 32


def entry(fingerprint, event="issued"):
    return canonical({"event": event, "certificate_sha256": fingerprint, "time": 1, "not_after": 2})


ENTRIES = [entry(f"{number:064x}") for number in range(9)]
ENTRIES[4] = entry(MINE)
TREE = Tree(leaf_hash(content) for content in ENTRIES)
HEAD = LogHead(9, TREE.root().hex())
PROOF = {
    "index": 4,
    "size": 9,
    "entry": ENTRIES[4].decode(),
    "proof": [step.hex() for step in TREE.inclusion_proof(4, 9)],
}
EARLIER = LogHead(5, TREE.root(5).hex())
GROWTH = {"earlier": 5, "size": 9, "proof": [step.hex() for step in TREE.consistency_proof(5, 9)]}


def test_an_honest_log_passes():
    authority = TestAuthority()
    signature = authority.key.sign(head_bytes(HEAD), ECDSA(SHA256())).hex()
    assert read_head({"size": 9, "root": HEAD.root, "signature": signature}, authority.pem) == HEAD
    check_entry(HEAD, PROOF, MINE)
    check_growth(EARLIER, HEAD, GROWTH)
    check_growth(HEAD, HEAD, {"earlier": 9, "size": 9, "proof": []})


@pytest.mark.parametrize(
    "change",
    [
        {"size": 10},
        {"root": "00" * 32},
        {"root": 7},
        {"size": True},
        {"size": 0},
        {"signature": ""},
        {"signature": "zz"},
        {"signature": None},
    ],
    ids=str,
)
def test_a_head_that_the_authority_did_not_sign_is_refused(change):
    authority = TestAuthority()
    signed_head = {
        "size": 9,
        "root": HEAD.root,
        "signature": authority.key.sign(head_bytes(HEAD), ECDSA(SHA256())).hex(),
    }
    with pytest.raises(PeerError, match="is not signed by the authority"):
        read_head({**signed_head, **change}, authority.pem)
    with pytest.raises(PeerError, match="is not signed by the authority"):
        read_head(signed_head, TestAuthority().pem)


@pytest.mark.parametrize(
    "change",
    [
        {"index": 3},
        {"index": "4"},
        {"size": 8},
        {"entry": entry("cd" * 32).decode()},
        {"entry": entry(MINE, "revoked").decode()},
        {"entry": 7},
        {"entry": "[]"},
        {"entry": "[" * 9999},
        {"proof": []},
        {"proof": ["00"]},
        {"proof": [7]},
        {"proof": None},
        {"proof": ["00" * 32] * 65},
    ],
    ids=lambda change: str(change)[:40],
)
def test_an_entry_that_is_not_in_the_log_is_refused(change):
    with pytest.raises(PeerError, match="does not hold this device's certificate"):
        check_entry(HEAD, {**PROOF, **change}, MINE)


@pytest.mark.parametrize(
    ("earlier", "change"),
    [
        (LogHead(5, "00" * 32), {}),
        (LogHead(6, EARLIER.root), {"earlier": 6}),
        (EARLIER, {"size": 8}),
        (EARLIER, {"proof": []}),
        (EARLIER, {"proof": "xx"}),
        (EARLIER, {"earlier": None}),
    ],
    ids=["other past", "other size", "other head", "no proof", "no list", "no size"],
)
def test_a_changed_past_is_refused(earlier, change):
    with pytest.raises(PeerError, match="was changed since"):
        check_growth(earlier, HEAD, {**GROWTH, **change})
