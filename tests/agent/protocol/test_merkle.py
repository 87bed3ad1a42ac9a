"""In the beacon's tree each leaf's proof leads to the root, and no other proof does."""

import pytest

from agent.protocol.merkle import group_of, leaf, proof, proofs, root, root_of

LEAVES = [leaf(f"device-{number}", bytes([number]) * 32) for number in range(20)]


@pytest.mark.parametrize("count", range(1, 21))
def test_each_proof_leads_to_the_root_for_its_own_leaf_only(count):
    leaves = LEAVES[:count]
    paths = proofs(leaves)
    for at in range(count):
        assert paths[at] == proof(leaves, at)
        assert root_of(leaves[at], at, count, paths[at]) == root(leaves)
        if count > 1:
            assert root_of(leaves[(at + 1) % count], at, count, paths[at]) != root(leaves)


@pytest.mark.parametrize(
    ("at", "count", "siblings"),
    [(1, 1, []), (-1, 2, []), (0, 1, [bytes(32)]), (0, 2, []), (0, 4, [bytes(32)])],
)
def test_p11_a_proof_of_the_wrong_length_is_refused(at, count, siblings):
    with pytest.raises(ValueError, match=r"leaf|siblings"):
        root_of(LEAVES[0], at, count, siblings)


def test_known_answers():
    assert root(LEAVES[:3]).hex() == KNOWN_ROOT
    assert [group_of(bytes(32), f"device-{number}", 7) for number in range(10)] == KNOWN_GROUPS


def test_groups_have_even_sizes():
    counts = [0] * 10
    for number in range(5000):
        counts[group_of(b"x" * 32, str(number), 10)] += 1
    assert max(abs(count - 500) for count in counts) < 6 * 450**0.5


KNOWN_ROOT = "cb36aec4039fe864c9f3aa722222d271357fb72a38ab8c96cd81d210d9c1abce"
KNOWN_GROUPS = [1, 2, 6, 6, 2, 0, 6, 4, 5, 4]
