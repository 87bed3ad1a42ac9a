"""Devices that lie in a group: each wraps an honest state machine and changes one of its messages.

They sign their lies with their own certified keys. `Play` runs a group with any mix of them.
"""

import os
import random
from contextlib import suppress
from dataclasses import replace

from agent.errors import PeerError
from agent.protocol import codec, envelope
from agent.protocol.exchange_proof import prove
from agent.protocol.states import GroupState

ENDED = (GroupState.DONE, GroupState.ABORTED)


class Honest:
    """Says what its machine says. Liars change what they override."""

    is_provable = False
    """Whether the lie leaves a proof when it takes effect."""

    def __init__(self, client, device_id, sign, config, drawn, draw=None):
        """`drawn`: the random bytes of the machine, in order; the first is its sealing key.

        `draw` decides what the lie is about.
        """
        self.client, self.device_id, self.sign = client, device_id, sign
        self.config, self.drawn, self.draw = config, drawn, draw or random.Random(0)

    @classmethod
    def of(cls, peer, config, draw=None):
        """The same as a device of tests.fakes.secagg."""
        return cls(peer.client, peer.device_id, peer.sign, config, peer.drawn, draw)

    def __getattr__(self, name):
        """Everything else is the machine's."""
        return getattr(self.client, name)

    def advertise(self):
        return self.client.advertise()

    def shares(self, roster):
        round_context = codec.round_context(self.config)
        self.roster = codec.decode_roster(roster, round_context)
        self.context = codec.group_context(round_context, self.roster)
        self.members = list(self.roster.members)
        self.own = [member.device_id for member in self.members].index(self.device_id)
        self.size = len(self.members)
        return self.client.shares(roster)

    def accept_shares(self, inbox):
        self.dealers, _ = codec.decode_inbox(inbox, self.context, self.own, self.size)
        return self.client.accept_shares(inbox)

    def complaint(self, dealings):
        return self.client.complaint(dealings)

    def mask(self, sealed):
        return self.client.mask(sealed)

    def consistency(self, survivors):
        self.survivors = codec.decode_survivors(survivors, self.context, self.size)
        return self.client.consistency(survivors)

    def unmask(self, signatures):
        return self.client.unmask(signatures)

    # What liars need

    def others(self, among=None):
        return [number for number in among or range(self.size) if number != self.own]

    def dealing(self, body):
        return codec.decode_dealing(body, self.context, self.own, self.size)

    def deal(self, dealing):
        payload = codec.dealing_payload(self.own, dealing)
        signature = self.sign(codec.dealing_statement(self.context, payload))
        return codec.encode_dealing(self.context, self.own, replace(dealing, signature=signature))

    def accuse(self, accusations):
        complaint = codec.Complaint(tuple(accusations))
        signature = self.sign(codec.complaint_statement(self.context, complaint))
        return codec.encode_complaint(self.context, replace(complaint, signature=signature))


class GarbageDealer(Honest):
    """Deals shares that do not decrypt: to everybody, or to some."""

    is_provable = True

    def shares(self, roster):
        dealing = self.dealing(super().shares(roster))
        victims = self.victims()
        return self.deal(
            replace(
                dealing,
                to=tuple(
                    replace(piece, sealed=os.urandom(codec.SEALED_SHARES_BYTES))
                    if holder in victims
                    else piece
                    for holder, piece in enumerate(dealing.to)
                ),
            )
        )

    def victims(self):
        return self.draw.sample(self.others(), self.draw.randint(1, self.size - 1))


class GarbageForAll(GarbageDealer):
    """Deals shares that nobody can decrypt."""

    def victims(self):
        return self.others()


class GarbageForOne(GarbageDealer):
    """Deals shares that one device cannot decrypt."""

    def victims(self):
        return self.others()[:1]


class OtherCommitments(Honest):
    """Deals shares that do not match what it publishes of them."""

    is_provable = True

    def shares(self, roster):
        dealing = self.dealing(super().shares(roster))
        victim, name = self.draw.choice(self.others()), self.draw.choice(["self", "pair"])
        spoiled = replace(dealing.to[victim], **{f"{name}_commitment": os.urandom(32)})
        to = (*dealing.to[:victim], spoiled, *dealing.to[victim + 1 :])
        return self.deal(replace(dealing, to=to))


class FalseSecretDealer(Honest):
    """Deals consistent shares of another self-mask secret than it publishes."""

    is_provable = True

    def shares(self, roster):
        dealing = self.dealing(super().shares(roster))
        return self.deal(replace(dealing, self_digest=os.urandom(32)))


class FalseAccuser(Honest):
    """Accuses an honest dealer, with the true secret that they share or with a made-up one."""

    is_provable = True

    def accept_shares(self, inbox):
        super().accept_shares(inbox)
        return (self.draw.choice(self.others(sorted(self.dealers))),)

    def complaint(self, dealings):
        accusations = []
        for dealer, body in dealings.items():
            dealing = codec.decode_dealing(body, self.context, dealer, self.size)
            context = codec.accusation_context(self.context, dealer, self.own)
            peer = self.members[dealer].sealing_key
            proof = prove(self.drawn[0], peer, context, os.urandom)
            if self.draw.random() < 0.5:
                proof = proof[:40] + bytes([proof[40] ^ 1]) + proof[41:]
            accusations.append(
                codec.Accusation(dealer, codec.dealing_digest(dealer, dealing), proof)
            )
        return self.accuse(accusations)


class VagueAccuser(FalseAccuser):
    """Accuses a dealer of shares that nobody dealt: that proves nothing against anybody."""

    is_provable = False

    def complaint(self, dealings):
        return self.accuse(
            codec.Accusation(dealer, os.urandom(32), os.urandom(96)) for dealer in sorted(dealings)
        )


class FalseGiver(Honest):
    """Returns a share that it was not dealt."""

    is_provable = True

    def unmask(self, signatures):
        body = super().unmask(signatures)
        shares, _ = codec.decode_unmask(body, self.context, len(self.dealers))
        dealers = sorted(self.dealers)
        place = self.draw.randrange(len(dealers))
        false = [*shares[:place], os.urandom(33), *shares[place + 1 :]]
        dealt, returned = [], []
        for dealer, share, lie in zip(dealers, shares, false, strict=True):
            kind = "self" if dealer in self.survivors else "pair"
            dealt.append(self.commitment(dealer, kind, share))
            returned.append(self.commitment(dealer, kind, lie))
        sets = codec.agreement(self.dealers, self.survivors)
        signature = self.sign(codec.unmask_statement(self.context, sets, dealt, returned))
        return codec.encode_unmask(self.context, false, signature)

    def commitment(self, dealer, kind, share):
        from agent.protocol.sharing import commitment

        return commitment(self.context, dealer, self.own, kind, share)


class UnsignedGiver(FalseGiver):
    """Returns a false share and does not sign it: nobody else could check that it was this one."""

    is_provable = False

    def unmask(self, signatures):
        read = envelope.decode(super().unmask(signatures))
        return envelope.encode({**read.header, "signature": "00" * 64}, read.payload)


class ShortInput(Honest):
    """Signs a masked update that is too short."""

    is_provable = True

    def mask(self, sealed):
        read = envelope.decode(super().mask(sealed))
        words = read.payload[: -self.draw.randint(1, len(read.payload))]
        signature = self.sign(codec.masked_statement(self.context, self.dealers, words))
        return envelope.encode({**read.header, "signature": signature.hex()}, words)


class UnsignedInput(Honest):
    """Sends a masked update that it did not sign."""

    def mask(self, sealed):
        read = envelope.decode(super().mask(sealed))
        return envelope.encode({**read.header, "signature": "00" * 64}, read.payload)


class Spoiler(Honest):
    """Sends words that make the sum useless. Nobody can tell who did."""

    def mask(self, sealed):
        read = envelope.decode(super().mask(sealed))
        words = os.urandom(len(read.payload) - 5) + bytes(5)
        signature = self.sign(codec.masked_statement(self.context, self.dealers, words))
        return envelope.encode({**read.header, "signature": signature.hex()}, words)


class TwoFaced(Honest):
    """Signs two sets of survivors."""

    is_provable = True

    def consistency(self, survivors):
        true = super().consistency(survivors)
        other = codec.agreement(self.dealers, self.survivors - {self.own})
        signature = self.sign(other.statement(self.context))
        false = codec.encode_consistency(self.context, replace(other, signature=signature))
        self.second = self.draw.sample([true, false], 2)
        return self.second.pop()


class Silent(Honest):
    """Drops out before one of its messages."""

    def accept_shares(self, inbox):
        raise PeerError("SILENT", "It says nothing more.", "")


LIARS = (
    GarbageDealer,
    OtherCommitments,
    FalseSecretDealer,
    FalseAccuser,
    VagueAccuser,
    FalseGiver,
    UnsignedGiver,
    ShortInput,
    UnsignedInput,
    Spoiler,
    TwoFaced,
    Silent,
)


class Play:
    """A group and its players. A player whose message is refused, or who refuses one, is gone."""

    def __init__(self, group, players):
        """`players`: pairs of a player and its sealed update."""
        self.group, self.sealed = group, dict(players)
        self.gone = set()

    def run(self):
        """Play to the end; returns the group."""
        for kind in ("shares", "masked", "consistency", "unmask"):
            for player in self.sealed:
                self.act(player, lambda: self.send(player, kind))  # noqa: B023  (called at once)
            if self.group.state not in ENDED:
                self.group.advance(0) or self.group.advance(self.group.deadline)
            if self.group.state in ENDED:
                break
        return self.group

    def act(self, player, call):
        if player not in self.gone:
            try:
                call()
            except PeerError:
                self.gone.add(player)

    def inbox(self, player, after):
        return self.group.inbox(after, player.device_id)

    def send(self, player, kind):
        if kind == "shares":
            body = player.shares(self.inbox(player, "advertise"))
        elif kind == "masked":
            if unreadable := player.accept_shares(self.inbox(player, "shares")):
                self.complain(player, unreadable)
                return
            body = player.mask(self.sealed[player])
        elif kind == "consistency":
            body = player.consistency(self.inbox(player, "masked"))
        else:
            body = player.unmask(self.inbox(player, "consistency"))
        second = getattr(player, "second", None)
        if kind == "consistency" and second:
            with suppress(PeerError):
                self.group.receive(kind, player.device_id, second.pop())
        self.group.receive(kind, player.device_id, body)

    def complain(self, player, unreadable):
        dealings = {dealer: self.group.dealing(player.device_id, dealer) for dealer in unreadable}
        body = player.complaint(dealings)
        self.gone.add(player)
        if body is not None:
            self.group.receive("complaint", player.device_id, body)
