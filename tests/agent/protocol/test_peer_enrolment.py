"""The members of a group must stand in the authority's log, for long enough."""

import copy
import json

import pytest

from agent.errors import PeerError
from agent.protocol.canonical import canonical
from agent.protocol.issuance import LogHead
from agent.protocol.log_tree import Tree, leaf_hash
from agent.protocol.peer_enrolment import EnrolledBefore, check_members, prove_members

DAY = 24 * 3600
NOW = 1_800_000_000


def issued(name, time, **more):
    return canonical({"event": "issued", "certificate_sha256": name * 32, "time": time, **more})


ENTRIES = [
    issued("a0", NOW - 30 * DAY),
    issued("b0", NOW - 20 * DAY),
    canonical({"event": "revoked", "certificate_sha256": "b0" * 32, "time": NOW - 9 * DAY}),
    issued("a1", NOW - 3 * DAY, first=0),
    issued("c0", NOW - 1 * DAY),
    issued("d0", NOW - 1 * DAY, first=2),
    issued("e0", NOW - 1 * DAY, first=3),
    issued("f0", NOW - 40 * DAY),
]
BEFORE = EnrolledBefore(NOW - 7 * DAY, 3)


def log(entries=ENTRIES):
    tree = Tree(leaf_hash(entry) for entry in entries)
    return tree, LogHead(len(tree), tree.root().hex())


def answer(*indices):
    tree, head = log()
    return head, prove_members(tree, {index: ENTRIES[index] for index in indices}, head.size)


def refusal(head, found, names, before=BEFORE):
    with pytest.raises(PeerError) as raised:
        check_members(head, found, [name * 32 for name in names], before)
    assert raised.value.code == "ROSTER_ENROLMENT"
    return raised.value.detail


def test_members_that_were_enrolled_long_ago_are_accepted():
    head, found = answer(0, 1, 3)
    check_members(head, found, ["a1" * 32, "b0" * 32], BEFORE)
    assert len(json.dumps(found)) < 3000


@pytest.mark.parametrize(
    ("indices", "names", "detail"),
    [
        ((0, 3), ("a1", "b0"), "a member is not in the authority's log"),
        ((3,), ("a1",), "a member is not in the authority's log"),
        ((4,), ("c0",), "a member was enrolled too recently"),
        ((2, 5), ("d0",), "the log's answer cannot be read: ValueError"),
        ((0, 3, 6), ("e0",), "a member is not in the authority's log"),
        ((7,), ("f0",), "a member's enrolment was dated back"),
    ],
)
def test_any_other_member_is_refused(indices, names, detail):
    head, found = answer(*indices)
    assert refusal(head, found, names) == detail


def test_without_a_view_of_the_log_since_then_its_dates_count():
    head, found = answer(7)
    check_members(head, found, ["f0" * 32], EnrolledBefore(NOW - 7 * DAY))
    assert refusal(head, found, ["f0"]) == "a member's enrolment was dated back"


def test_what_is_not_proven_is_refused():
    head, found = answer(0, 3)
    for change in (
        lambda one: one["entries"][0].update(entry=ENTRIES[1].decode()),
        lambda one: one["entries"][0].update(index=1),
        lambda one: one["entries"][0].update(steps=[]),
        lambda one: one["entries"][0]["steps"].__setitem__(0, -1),
        lambda one: one["entries"][0]["steps"].__setitem__(0, 10**9),
        lambda one: one["entries"][0].update(entry="[" * 900),
        lambda one: one["entries"][0].update(entry=7),
        lambda one: one["nodes"].__setitem__(0, "00"),
        lambda one: one.update(size=head.size - 1),
        lambda one: one.update(entries=7),
        lambda one: one.pop("nodes"),
    ):
        changed = copy.deepcopy(found)
        change(changed)
        assert refusal(head, changed, ("a1",)).startswith("the log's answer cannot be read")
