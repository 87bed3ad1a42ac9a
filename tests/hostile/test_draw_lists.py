"""Searches every list, group and set of members that a lying aggregator can show to four devices,
and asks which of them a device accepts (P6).

The checks are the device's own; the aggregator may show each device another list, leave devices
out, and put anybody beside anybody. With `tests/hostile/test_survivor_splits.py`, which searches
what it can do inside a group, this covers a round from the list to the sum.
"""

import datetime
import itertools
from contextlib import suppress

import pytest

from agent.errors import PeerError
from agent.protocol import codec
from agent.protocol.draw import Draw
from agent.protocol.identities import Authority
from agent.protocol.witness import Witnessed, draw_request
from agent.secagg.roster_check import RosterCheck
from tests.fakes.secagg import Fleet, plan

DEVICES, SMALLEST, LARGEST = 4, 2, 3


class Search:
    """Four devices, and what each accepts."""

    def __init__(self, witness):
        config = plan(LARGEST, g_max=LARGEST, min_group=SMALLEST, min_sum=2, witness=witness)
        self.fleet = Fleet(DEVICES, config)
        self.context = codec.round_context(config)
        self.own = [
            codec.decode_advertisement(peer.client.advertise(), self.context)
            for peer in self.fleet.peers
        ]
        now = datetime.datetime.now(datetime.UTC)
        authority = Authority(self.fleet.authority.pem, now, frozenset())
        self.check = RosterCheck(config, self.fleet.limits, authority, self.context)

    def lists(self):
        """Every list of two devices or more."""
        for size in range(SMALLEST, DEVICES + 1):
            for some in itertools.combinations(self.own, size):
                yield tuple(sorted(one.leaf for one in some))

    def witnessed(self, leaves):
        """What the witness signs, once a round."""
        return self.fleet.authority.witness(
            draw_request(self.fleet.config, self.context, Draw(leaves))
        )

    def accepted(self, leaves, witnessed):
        """Every pair of a device and the members that it accepts with this list."""
        found = []
        members = [
            some
            for size in range(1, LARGEST + 1)
            for some in itertools.combinations(self.own, size)
        ]
        for group, some in itertools.product(range(DEVICES), members):
            roster = codec.Roster(group, leaves, witnessed, some)
            for own in some:
                with suppress(PeerError):
                    self.check.check_draw(roster, own)
                    found.append((own.device_id, frozenset(one.device_id for one in some)))
        return found


def test_p6_with_a_witness_every_device_accepts_the_one_group_that_was_drawn():
    search = Search("authority")
    for signed in search.lists():
        witnessed, groups = search.witnessed(signed), {}
        for shown in search.lists():
            found = search.accepted(shown, witnessed) if shown == signed else None
            if found is None:  # the others fail alike: one try for each device is enough
                assert other_list_is_refused(search, shown, witnessed)
                continue
            for device, members in found:
                assert groups.setdefault(device, members) == members
        # Nobody is in two groups, and whoever shares a group accepts the same one.
        assert all(groups[peer] == members for members in groups.values() for peer in members)
        drawn = Draw(signed, witnessed.seed).groups(search.fleet.config)
        assert len(groups) == sum(map(len, drawn))


def other_list_is_refused(search, shown, witnessed):
    """Whether each device on a list that the witness did not sign refuses it by name."""
    for group in Draw(shown, witnessed.seed).groups(search.fleet.config):
        some = tuple(one for one in search.own if one.leaf in group)
        for number in range(DEVICES):
            roster = codec.Roster(number, shown, witnessed, some)
            for own in some:
                with pytest.raises(PeerError) as raised:
                    search.check.check_draw(roster, own)
                assert raised.value.code == "ROSTER_WITNESS"
    return True


def test_p6_without_a_witness_each_list_has_one_draw_and_the_aggregator_chooses_the_list():
    search = Search("")
    groups = {}
    for shown in search.lists():
        for device, members in search.accepted(shown, Witnessed()):
            groups.setdefault(device, {}).setdefault(shown, set()).add(members)
    for by_list in groups.values():
        assert {len(members) for members in by_list.values()} == {1}
    # What docs/PROTOCOL.md says: any company, by the choice of the list.
    pairs = {frozenset(pair) for pair in itertools.combinations(groups, 2)}
    accepted = {
        members for by_list in groups.values() for one in by_list.values() for members in one
    }
    assert pairs <= accepted
