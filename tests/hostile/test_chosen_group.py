"""A lying aggregator and colluding devices try to read one victim's words (P6).

The aggregator gathers a victim, 8 colluders and 23 honest devices in one group and tells two parts
of the group two different sets of survivors. If each part signs and unmasks, it holds shares of
both secrets of the victim. The devices run the product's own limits.
"""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.privacy.policy import DeviceLimits
from agent.protocol import codec
from agent.protocol.keys import pair_key, self_key
from agent.protocol.masking import apply
from agent.protocol.packing import unpack
from agent.protocol.sealed_shares import open_shares
from agent.protocol.sharing import Combiner
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


@pytest.fixture
def fleet():
    config = plan(G_MAX, min_sum=20, gamma_milli=200, min_group=32)
    return Fleet(GROUP, config, DeviceLimits(max_rho_units=2**60))


def test_p6_two_sets_of_survivors_open_no_words_of_a_victim(fleet):
    (group,) = fleet.join().close(0)
    victim = fleet.peers[5]
    attack = SplitView(fleet, group, victim)
    words = attack.run()
    assert np.array_equal(words, victim.words)
