"""Proofs of the log tree hold for what they prove and for nothing else (RFC 9162 §2.1)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.log_tree import Tree, is_consistent, is_included, leaf_hash


def leaves(count):
    return [leaf_hash(str(number).encode()) for number in range(count)]


def root(hashes):
    return Tree(hashes).root()


def inclusion_proof(hashes, index):
    return Tree(hashes).inclusion_proof(index, len(hashes))


def consistency_proof(hashes, earlier):
    return Tree(hashes).consistency_proof(earlier, len(hashes))


def test_known_heads():
    """RFC 6962 test tree: the empty log, and one entry of no bytes."""
    assert root([]) == hashlib.sha256(b"").digest()
    assert (
        Tree([leaf_hash(b"")]).root().hex()
        == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


@given(size=st.integers(1, 40), data=st.data())
def test_every_entry_is_proved_and_nothing_else_is(size, data):
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(hashes, index)
    assert is_included(hashes[index], index, size, proof, root(hashes))
    assert not is_included(leaf_hash(b"other"), index, size, proof, root(hashes))
    assert not is_included(hashes[index], index, size, [*proof, b"\0" * 32], root(hashes))
    if size > 1:
        assert not is_included(hashes[index], (index + 1) % size, size, proof, root(hashes))


@given(size=st.integers(1, 40), data=st.data())
def test_growth_is_proved_and_a_changed_past_is_not(size, data):
    hashes = leaves(size)
    earlier = data.draw(st.integers(1, size))
    proof = consistency_proof(hashes, earlier)
    assert is_consistent(earlier, size, root(hashes[:earlier]), root(hashes), proof)
    forged = [leaf_hash(b"forged"), *hashes[1:earlier]]
    assert not is_consistent(earlier, size, root(forged), root(hashes), proof)


def test_positions_outside_the_log_are_refused():
    with pytest.raises(IndexError):
        inclusion_proof(leaves(3), 3)
    with pytest.raises(IndexError):
        consistency_proof(leaves(3), 4)
    assert not is_included(leaves(1)[0], 1, 1, [], root(leaves(1)))


def test_a_grown_tree_equals_a_new_one_and_remembers_its_earlier_heads():
    hashes, tree = leaves(70), Tree()
    for size in range(1, 71):
        tree.grow([hashes[size - 1]])
        assert tree.root() == root(hashes[:size])
        assert is_included(
            hashes[size // 2],
            size // 2,
            size,
            tree.inclusion_proof(size // 2, size),
            tree.root(size),
        )
    for size in range(1, 71):
        assert tree.root(size) == root(hashes[:size])
        assert is_consistent(
            size, 70, tree.root(size), tree.root(), tree.consistency_proof(size, 70)
        )
