"""A lying aggregator and colluding devices try to read one victim's words (P6).

The aggregator gathers a victim, 8 colluders and 23 honest devices in one group and tells two parts
of the group two different sets of survivors. If each part signs and unmasks, it holds shares of
both secrets of the victim. The devices run the product's own limits.
"""

import contextlib
import time
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.clock import SystemClock
from agent.errors import PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec
from agent.protocol.draw import Draw, leaf
from agent.protocol.keys import pair_key, self_key
from agent.protocol.masking import apply
from agent.protocol.packing import unpack
from agent.protocol.sealed_shares import open_shares
from agent.protocol.sharing import Combiner
from agent.protocol.witness import Witnessed, draw_request
from server_stub.ca.authority import Authority, create
from tests.fakes.secagg import Fleet, plan

COLLUDERS, GROUP, G_MAX = 8, 32, 63


class SplitView:
    """The aggregator of one group that shows two sets of survivors."""

    def __init__(self, fleet, group, victim):
        self.fleet, self.group = fleet, group
        self.context = group.drawn.context
        by_id = {peer.device_id: peer for peer in fleet.peers}
        self.members = [by_id[device_id] for device_id in group.devices]
        self.victim = self.members.index(victim)
        honest = [at for at in range(GROUP) if at != self.victim]
        self.colluders = honest[:COLLUDERS]
        rest = honest[COLLUDERS:]
        self.parts = {True: [self.victim, *rest[:11]], False: rest[11:]}

    def run(self):
        """Run the round up to two different openings; return the victim's words or raise."""
        for peer in self.members:
            Fleet.send(self.group, peer, "shares")
        self.group.advance(0)
        for peer in self.members:
            Fleet.send(self.group, peer, "masked")
        masked = self.group.contributions.inputs[self.victim]
        shares = {True: {}, False: {}}
        for is_in, part in self.parts.items():
            survivors = set(range(GROUP)) - (set() if is_in else {self.victim})
            announced = codec.encode_survivors(self.context, survivors)
            agreement = codec.agreement(frozenset(range(GROUP)), frozenset(survivors))
            signatures = {
                at: self.members[at].sign(agreement.statement(self.context))
                for at in self.colluders
                if at in survivors
            }
            for at in part:
                body = self.members[at].client.consistency(announced)
                signatures[at] = codec.decode_consistency(body, self.context).signature
            for at in part:
                answer = self.members[at].client.unmask(
                    codec.encode_signatures(self.context, signatures)
                )
                given, _ = codec.decode_unmask(answer, self.context, GROUP)
                shares[is_in][at] = given[self.victim]
            for at in self.colluders:
                shares[is_in][at] = self.colluding(at)[not is_in]
        return self.recover(masked, shares[True], shares[False])

    def colluding(self, at):
        """Return both shares of the victim that a colluder holds."""
        dealing = self.group.contributions.dealings[self.victim]
        sealing = self.group.drawn.roster.members[self.victim].sealing_key
        secret = self.members[at].sealing.exchange(X25519PublicKey.from_public_bytes(sealing))
        return open_shares(secret, self.context, self.victim, at, dealing.to[at])

    def recover(self, masked, self_shares, pair_shares):
        config = self.fleet.config
        secrets = []
        for shares in (self_shares, pair_shares):
            holders = sorted(shares)
            secrets.append(Combiner(holders).combine([shares[at] for at in holders]))
        private = X25519PrivateKey.from_private_bytes(secrets[1])
        remove, add = [self_key(secrets[0], self.context, self.victim)], []
        for at, member in enumerate(self.group.drawn.roster.members):
            if at == self.victim:
                continue
            public = X25519PublicKey.from_public_bytes(member.masking_key)
            key = pair_key(
                private.exchange(public),
                self.context,
                self.victim,
                at,
                config.model_digest,
                config.digest,
            )
            (remove if at > self.victim else add).append(key)
        words = unpack(masked, config.bits, config.d_padded)
        apply(words, add, remove)
        return words & ((1 << config.bits) - 1)


def product_fleet(devices=GROUP, witness=""):
    config = plan(G_MAX, min_sum=20, gamma_milli=200, min_group=32, witness=witness)
    return Fleet(devices, config, DeviceLimits(max_rho_units=2**60))


def code_of(call, *values):
    with pytest.raises(PeerError) as raised:
        call(*values)
    return raised.value.code


@pytest.mark.parametrize("witness", ["", "authority"])
@pytest.mark.parametrize("devices", [32, 64], ids=["one group", "two groups"])
def test_p6_two_sets_of_survivors_open_no_words_of_a_victim(devices, witness):
    """The threshold assumes as many colluders as the price does, whatever the size of the group."""
    fleet = product_fleet(devices, witness)
    group = fleet.close(fleet.join())[0]
    assert group.drawn.size == GROUP
    victim = next(peer for peer in fleet.peers if peer.device_id in group.devices)
    assert code_of(SplitView(fleet, group, victim).run) == "SIGNATURES"


def test_p6_the_same_attack_succeeds_with_a_threshold_that_assumes_fewer_colluders():
    """The attack is a real one: with t = 20, as for 7 colluders, it recovers the very words."""
    fleet = product_fleet()
    fleet = Fleet(GROUP, replace(fleet.config, colluders=7), replace(fleet.limits, gamma_milli=100))
    (group,) = fleet.close(fleet.join())
    victim = fleet.peers[5]
    assert np.array_equal(SplitView(fleet, group, victim).run(), victim.words)


@pytest.fixture
def authority(tmp_path):
    create(tmp_path / "ca", "Authority", int(time.time()))
    with contextlib.closing(Authority(tmp_path / "ca", SystemClock())) as running:
        yield running


def test_p6_the_authority_signs_no_second_only_group_of_a_round(authority):
    """ "Only these 32 advertised", told to two halves of a fleet: one of them is not witnessed."""
    fleet = product_fleet(64, "authority")
    halves = [fleet.join(fleet.peers[:32]), fleet.join(fleet.peers[32:])]
    first, second = (half.draw_request for half in halves)
    witnessed = authority.witness(first)
    assert authority.witness(first) == witnessed
    assert code_of(authority.witness, second) == "WITNESS_REFUSED"
    assert code_of(authority.witness, replace(first, context=bytes(32))) == "WITNESS_REFUSED"


@pytest.mark.parametrize("lie", ["the other half's", "none", "a seed of its own"])
def test_p6_a_second_only_group_is_refused_by_name(lie):
    fleet = product_fleet(64, "authority")
    halves = [fleet.join(fleet.peers[:32]), fleet.join(fleet.peers[32:])]
    witnessed = fleet.authority.witness(halves[0].draw_request)
    shown = {
        "the other half's": witnessed,
        "none": Witnessed(bytes(32), bytes(64)),
        "a seed of its own": replace(witnessed, seed=bytes(32)),
    }[lie]
    (group,) = halves[1].close(0, shown)
    victim = fleet.peers[40]
    assert code_of(victim.client.shares, group.inbox("advertise", victim.device_id)) == (
        "ROSTER_WITNESS"
    )


def grind(fleet, colluders, tries, witness):
    """Sign the colluders' advertisements again until the draw puts all of them beside the first
    device. Return the number of tries, or None.
    """
    context = codec.round_context(fleet.config)
    honest = [
        codec.decode_advertisement(peer.client.advertise(), context)
        for peer in fleet.peers[: len(fleet.peers) - colluders]
    ]
    own = honest[0].leaf
    for number in range(tries):
        theirs = [leaf(f"{number} {at}".encode()) for at in range(colluders)]
        draw = Draw(tuple(sorted([one.leaf for one in honest] + theirs)))
        if witness:
            request = draw_request(fleet.config, context, draw)
            draw = replace(draw, seed=witness(request).seed)
        together = next(group for group in draw.groups(fleet.config) if own in group)
        if together.issuperset(theirs):
            return number + 1
    return None


def test_p6_without_a_witness_an_aggregator_grinds_a_draw_and_with_one_it_has_one_try(authority):
    """What docs/PROTOCOL.md says: without a witness the aggregator chooses."""
    fleet = Fleet(16, plan(16, g_max=8, min_group=8))
    assert grind(fleet, 4, 2000, None) is not None
    watched = Fleet(16, plan(16, g_max=8, min_group=8, witness="authority"))
    assert code_of(grind, watched, 4, 2000, authority.witness) == "WITNESS_REFUSED"
