"""The sum of a group is exact for every set of survivors that the threshold allows."""

from dataclasses import replace
from itertools import combinations

import pytest

from server_stub.secagg.opening import open_sum
from server_stub.secagg.unmasking import FalseDealersError
from tests.fakes.secagg import KINDS, Fleet, plan


def opened_by(fleet, silent):
    """A group in which `silent` dealt shares but sent no input, up to the last phase."""
    group = fleet.group()
    for kind in KINDS:
        for number, peer in enumerate(fleet.peers):
            if kind == "shares" or number not in silent:
                fleet.send(group, peer, kind)
        if kind != "unmask":
            group.advance(0) or group.advance(group.deadline)
    return group


@pytest.mark.parametrize("silent", [(), *combinations(range(5), 1), *combinations(range(5), 2)])
def test_p6_the_opened_sum_is_exact_over_the_survivors(silent):
    fleet = Fleet(5, plan(5, min_sum=3))
    group = opened_by(fleet, silent)
    opened = open_sum(group.drawn, group.contributions)
    assert opened.devices == tuple(
        peer.device_id for number, peer in enumerate(fleet.peers) if number not in silent
    )
    assert opened.count == 5 - len(silent)
    assert opened.words.tolist() == fleet.expected(opened.devices).tolist()
    assert open_sum(group.drawn, group.contributions).words.tolist() == opened.words.tolist()


def test_false_digests_name_all_their_dealers_and_leave_the_contributions_alone():
    fleet = Fleet(5)
    group = opened_by(fleet, ())
    sent = group.contributions
    for liar in (2, 4):
        sent.dealings[liar] = replace(sent.dealings[liar], self_digest=bytes(32))
    counts = sent.counts()
    with pytest.raises(FalseDealersError) as raised:
        open_sum(group.drawn, sent)
    assert raised.value.dealers == (2, 4)
    assert sent.counts() == counts
