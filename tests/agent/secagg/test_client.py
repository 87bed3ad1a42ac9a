"""The lying aggregator, attack by attack: the device refuses, says why, and forgets the round's
secrets.
"""

import os
from dataclasses import replace

import numpy as np
import pytest

from agent.errors import PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, merkle
from agent.protocol.packing import unpack
from agent.protocol.states import DEVICE, DeviceEvent, DeviceState
from tests.fakes.ca import TestAuthority
from tests.fakes.secagg import KINDS, Fleet, plan


def refused(code, call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    assert raised.value.code == code
    assert raised.value.message.endswith(".")


class Lie:
    """A fleet whose group went honestly up to a phase; afterwards the test speaks for the
    aggregator.
    """

    def __init__(self, n=5, until=0, **options):
        self.fleet = Fleet(n, options.pop("config", None) or plan(n), **options)
        self.group = self.fleet.group()
        self.victim = self.fleet.peers[0]
        self.client = self.victim.client
        for kind in KINDS[:until]:
            for peer in self.fleet.peers:
                self.fleet.say(self.group, peer, kind)
            self.group.advance(0)
        self.round_context = codec.round_context(self.fleet.config)
        self.context = self.group._context

    def inbox(self, after):
        return self.group.inbox(after, self.victim.device_id)

    def roster(self, **changes):
        roster = codec.decode_roster(self.inbox("advertise"), self.round_context)
        return replace(roster, **changes)

    def offers(self, roster):
        return codec.encode_roster(self.round_context, roster)

    def with_members(self, advertisements):
        """A roster of these advertisements whose beacon is right."""
        leaves = [merkle.leaf(one.device_id, one.nonce) for one in advertisements]
        members = tuple(codec.Member(one, at, ()) for at, one in enumerate(advertisements))
        return self.offers(
            self.roster(members=members, advertised=len(members), beacon=merkle.root(leaves))
        )

    def advertisements(self):
        return [member.advertisement for member in self.roster().members]

    def gone(self):
        assert self.client.state is DeviceState.LEFT
        assert (
            not {"_sealing", "_masking", "_self_secret", "_sealing_secrets", "_held"}
            & self.client.__dict__.keys()
        )


def test_p6_a_group_below_this_devices_own_minimum():
    lie = Lie(limits=DeviceLimits(min_group=6, min_sum=2, gamma_milli=0))
    refused("ROSTER_SIZE", lie.client.shares, lie.inbox("advertise"))
    lie.gone()


def test_p6_a_group_larger_than_the_round_allows():
    lie = Lie(config=plan(5, g_max=5))
    extra = lie.fleet.peer(5).client
    extra_body = codec.decode_advertisement(extra.advertise(), lie.round_context)
    refused("ROSTER_SIZE", lie.client.shares, lie.with_members([*lie.advertisements(), extra_body]))


@pytest.mark.parametrize("order", ["swapped", "twice"])
def test_a_roster_out_of_order_or_with_one_member_twice(order):
    lie = Lie()
    made = lie.advertisements()
    made = [made[1], made[0], *made[2:]] if order == "swapped" else [*made[:4], made[3]]
    refused("ROSTER_ORDER", lie.client.shares, lie.with_members(made))
    lie.gone()


@pytest.mark.parametrize("name", ["sealing_key", "masking_key", "nonce", "signature"])
def test_this_devices_own_entry_with_another_key(name):
    lie = Lie()
    made = lie.advertisements()
    made[0] = replace(made[0], **{name: bytes(reversed(getattr(made[0], name)))})
    refused("ROSTER_SELF", lie.client.shares, lie.with_members(made))


def test_a_roster_without_this_device():
    lie = Lie()
    refused("ROSTER_SELF", lie.client.shares, lie.with_members(lie.advertisements()[1:]))


@pytest.mark.parametrize("name", ["sealing_key", "masking_key"])
def test_a_members_key_exchanged_on_the_way(name):
    lie = Lie()
    made = lie.advertisements()
    made[2] = replace(made[2], **{name: os.urandom(32)})
    refused("ROSTER_SIGNATURE", lie.client.shares, lie.with_members(made))
    lie.gone()


def test_one_key_under_two_names():
    lie = Lie()
    made = lie.advertisements()
    made[2] = replace(made[2], masking_key=made[3].masking_key)
    refused("ROSTER_DUPLICATE", lie.client.shares, lie.with_members(made))


def test_one_certified_key_under_two_names():
    """The authority certified one key twice: one device would count as two."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import UniformResourceIdentifier

    from agent.secagg.client import Client
    from tests.fakes.secagg import signer

    lie = Lie()
    key = ec.generate_private_key(ec.SECP256R1())
    made = lie.advertisements()
    for at in (3, 4):
        certificate = lie.fleet.authority.issue(
            key.public_key(), [UniformResourceIdentifier(made[at].device_id)]
        )
        options = {"limits": lie.fleet.limits, "entropy": os.urandom, "now": lie.fleet.now}
        twin = Client(
            lie.fleet.config,
            made[at].device_id,
            certificate,
            lie.fleet.authority.pem,
            signer(key),
            **options,
        )
        made[at] = codec.decode_advertisement(twin.advertise(), lie.round_context)
    refused("ROSTER_DUPLICATE", lie.client.shares, lie.with_members(made))


def test_a_device_certified_by_another_authority():
    lie = Lie()
    forged = lie.fleet.peer(2, authority=TestAuthority()).client
    made = lie.advertisements()
    made[2] = codec.decode_advertisement(forged.advertise(), lie.round_context)
    refused("ROSTER_CERTIFICATE", lie.client.shares, lie.with_members(made))
    lie.gone()


def test_a_certificate_of_another_device():
    lie = Lie()
    made = lie.advertisements()
    made[2] = replace(made[2], certificate=made[3].certificate)
    refused("ROSTER_CERTIFICATE", lie.client.shares, lie.with_members(made))


def test_a_certificate_that_is_not_valid_now():
    lie = Lie()
    lie.victim = lie.fleet.peers[0] = lie.fleet.peer(0, now=lie.fleet.now + 30 * 24 * 3600)
    lie.client = lie.victim.client
    made = lie.advertisements()
    made[0] = codec.decode_advertisement(lie.client.advertise(), lie.round_context)
    refused("ROSTER_CERTIFICATE", lie.client.shares, lie.with_members(made))


def test_a_revoked_certificate():
    from cryptography import x509

    lie = Lie()
    made = lie.advertisements()
    serial = x509.load_der_x509_certificate(made[3].certificate).serial_number
    careful = lie.fleet.peer(0, revoked=frozenset({serial})).client
    made[0] = codec.decode_advertisement(careful.advertise(), lie.round_context)
    refused("ROSTER_REVOKED", careful.shares, lie.with_members(made))


def test_a_group_that_the_beacon_did_not_draw():
    """The aggregator picks the victim's company: the draw does not allow it."""
    lie = Lie()
    refused("ROSTER_GROUP", lie.client.shares, lie.offers(lie.roster(groups=2, group=0)))


@pytest.mark.parametrize("change", [{"beacon": bytes(32)}, {"advertised": 6}])
def test_a_beacon_that_leaves_somebody_out(change):
    lie = Lie()
    refused("ROSTER_GROUP", lie.client.shares, lie.offers(lie.roster(**change)))


def test_a_wrong_proof_of_the_draw():
    fleet = Fleet(40, plan(40, g_max=12))
    join = fleet.join()
    group = join.close(0)[0]
    peer = next(peer for peer in fleet.peers if peer.device_id == group.devices[0])
    context = codec.round_context(fleet.config)
    roster = codec.decode_roster(group.inbox("advertise", peer.device_id), context)
    member = roster.members[1]
    for wrong in (
        replace(member, siblings=member.siblings[1:]),
        replace(member, siblings=(bytes(32), *member.siblings[1:])),
    ):
        again = fleet.peer(fleet.peers.index(peer)).client
        again.__dict__.update({**peer.client.__dict__})
        lied = replace(roster, members=(roster.members[0], wrong, *roster.members[2:]))
        refused("ROSTER_GROUP", again.shares, codec.encode_roster(context, lied))
    peer.client.shares(codec.encode_roster(context, roster))


@pytest.mark.parametrize(
    "change",
    [{"round_id": 6}, {"model_digest": "cd" * 32}, {"model_version": 2}, {"noise_var": 10**6}],
)
def test_another_round_model_or_configuration(change):
    """Different devices are told different things: contexts differ and nothing of one fits the
    other.
    """
    lie = Lie()
    other = codec.round_context(replace(lie.fleet.config, **change))
    assert other != lie.round_context
    refused("WRONG_CONTEXT", lie.client.shares, codec.encode_roster(other, lie.roster()))
    lie.gone()


@pytest.mark.parametrize(
    "round_id", [6, 7], ids=["an earlier round", "another group of this round"]
)
@pytest.mark.parametrize(
    ("until", "after", "call"),
    [
        (0, "advertise", "shares"),
        (1, "shares", "accept_shares"),
        (2, "masked", "consistency"),
        (3, "consistency", "unmask"),
    ],
    ids=["roster", "shares", "survivors", "signatures"],
)
def test_a_message_played_again_from_elsewhere_fits_nothing(until, after, call, round_id):
    """Genuine messages of the same devices' other meeting, with every signature right."""
    lie, other = Lie(until=until), Lie(until=until, config=plan(5, round_id=round_id))
    replayed = other.inbox(after)
    with pytest.raises(PeerError) as raised:
        getattr(lie.client, call)(replayed)
    # Another group's roster has this round's context: it is refused for what is in it.
    expected = {"ROSTER_SELF"} if (after, round_id) == ("advertise", 7) else {"WRONG_CONTEXT"}
    assert raised.value.code in expected
    lie.gone()


def test_p6_masks_of_devices_on_different_models_do_not_cancel():
    from agent.protocol.keys import pair_key

    keys = {
        pair_key(bytes(32), bytes(32), 0, 1, model, config)
        for model in ("aa" * 32, "bb" * 32)
        for config in ("cc" * 32, "dd" * 32)
    }
    assert len(keys) == 4


def test_a_key_of_small_order():
    lie = Lie()
    cheat = lie.fleet.peers[3]
    made = lie.advertisements()
    weak = replace(made[3], sealing_key=bytes(32))
    made[3] = replace(weak, signature=cheat.sign(weak.statement(lie.round_context)))
    refused("ROSTER_KEY", lie.client.shares, lie.with_members(made))
    lie.gone()


# Shares


def test_too_few_dealers():
    lie = Lie(until=1)
    dealings = {number: lie.group._dealings[number] for number in (0, 1)}
    refused("DEALERS", lie.client.accept_shares, codec.encode_inbox(lie.context, 0, dealings))
    lie.gone()


def test_dealers_without_this_device():
    lie = Lie(until=1)
    dealings = {number: lie.group._dealings[number] for number in (1, 2, 3, 4)}
    refused("DEALERS", lie.client.accept_shares, codec.encode_inbox(lie.context, 0, dealings))


@pytest.mark.parametrize("part", ["sealed", "self_commitment", "pair_commitment"])
def test_a_share_that_cannot_be_read_is_blamed_at_once(part):
    lie = Lie(until=1)
    dealings = dict(lie.group._dealings)
    piece = dealings[3].to[0]
    spoiled = replace(piece, **{part: bytes(len(getattr(piece, part)))})
    dealings[3] = codec.Dealing(dealings[3].self_digest, (spoiled, *dealings[3].to[1:]))
    refused(
        "SHARE_UNREADABLE", lie.client.accept_shares, codec.encode_inbox(lie.context, 0, dealings)
    )
    assert lie.client.blamed == (lie.fleet.peers[3].device_id,)
    lie.gone()
    assert codec.decode_leave(lie.client.leave("SHARE_UNREADABLE"), lie.round_context) == (
        "SHARE_UNREADABLE",
        (lie.fleet.peers[3].device_id,),
    )


def test_shares_meant_for_another_or_from_another():
    lie = Lie(until=1)
    dealings = dict(lie.group._dealings)
    dealings[3] = codec.Dealing(dealings[3].self_digest, (dealings[3].to[1], *dealings[3].to[1:]))
    refused(
        "SHARE_UNREADABLE", lie.client.accept_shares, codec.encode_inbox(lie.context, 0, dealings)
    )


def test_an_update_sealed_for_another_round_is_not_masked():
    lie = Lie(until=1)
    lie.client.accept_shares(lie.inbox("shares"))
    other = replace(lie.fleet.config, round_id=8)
    refused("SEALED_OTHER_ROUND", lie.client.mask, Fleet.seal(lie.victim.words, other))


# Survivors and unmasking


@pytest.mark.parametrize("survivors", [{0, 1}, {1, 2, 3, 4}, {0, 1, 2}])
def test_p6_survivors_below_the_minimum_or_without_this_device(survivors):
    lie = Lie(until=2, config=plan(5, min_sum=4))
    refused("SURVIVORS", lie.client.consistency, codec.encode_survivors(lie.context, survivors))
    lie.gone()


def test_p6_this_devices_own_minimum_stands_above_the_rounds():
    lie = Lie(
        until=2,
        config=plan(5, min_sum=3),
        limits=DeviceLimits(min_group=3, min_sum=5, gamma_milli=0),
    )
    refused("SURVIVORS", lie.client.consistency, codec.encode_survivors(lie.context, {0, 1, 2, 3}))


def test_survivors_who_never_dealt():
    lie = Lie(n=6, until=0)
    for peer in lie.fleet.peers[:5]:
        lie.fleet.say(lie.group, peer, "shares")
    lie.group.advance(10)
    for peer in lie.fleet.peers[:5]:
        lie.fleet.say(lie.group, peer, "masked")
    refused(
        "SURVIVORS", lie.client.consistency, codec.encode_survivors(lie.context, {0, 1, 2, 3, 4, 5})
    )


def test_p6_one_set_of_survivors_is_signed_ever():
    lie = Lie(until=2)
    lie.client.consistency(lie.inbox("masked"))
    refused("OUT_OF_TURN", lie.client.consistency, codec.encode_survivors(lie.context, {0, 1, 2}))
    assert lie.client.state is DeviceState.SIGNED


def test_p6_two_views_of_the_survivors_find_no_quorum():
    """Half of the group is told one set, half another: neither has enough signatures."""
    lie = Lie(n=6, until=2, config=plan(6, min_sum=3))
    views = [frozenset({0, 1, 2, 3}), frozenset({0, 1, 2, 4})]
    signatures = {}
    for number, view in ((0, 0), (1, 0), (3, 0), (2, 1), (4, 1)):
        peer = lie.fleet.peers[number]
        answer = peer.client.consistency(codec.encode_survivors(lie.context, views[view]))
        signatures[number] = codec.decode_consistency(answer, lie.context)
    refused("SIGNATURES", lie.client.unmask, codec.encode_signatures(lie.context, signatures))
    lie.gone()


def signatures_of(lie):
    for peer in lie.fleet.peers:
        lie.fleet.say(lie.group, peer, "consistency")
    lie.group.advance(0)
    return dict(lie.group._signatures)


def test_p6_too_few_signatures():
    lie = Lie(until=2)
    signatures = signatures_of(lie)
    needed = codec.threshold(5, lie.fleet.config)
    few = {number: signatures[number] for number in range(needed - 1)}
    refused("SIGNATURES", lie.client.unmask, codec.encode_signatures(lie.context, few))


def test_p6_one_signature_does_not_count_twice():
    lie = Lie(until=2)
    signatures = signatures_of(lie)
    refused(
        "SIGNATURES",
        lie.client.unmask,
        codec.encode_signatures(lie.context, dict.fromkeys(range(5), signatures[1])),
    )


def test_p6_unmask_is_answered_once_and_secrets_are_gone():
    lie = Lie(until=3)
    body = lie.inbox("consistency")
    lie.client.unmask(body)
    refused("OUT_OF_TURN", lie.client.unmask, body)
    assert lie.client.state is DeviceState.UNMASKED
    assert not {"_masking", "_self_secret", "_held"} & lie.client.__dict__.keys()


@pytest.mark.parametrize("dropped", [set(), {3}, {2, 4}])
def test_p6_never_both_shares_for_one_device(dropped):
    lie = Lie(n=6, until=1)
    for number, peer in enumerate(lie.fleet.peers):
        peer.client.accept_shares(lie.group.inbox("shares", peer.device_id))
        if number not in dropped:
            lie.group.receive("masked", peer.device_id, peer.client.mask(peer.sealed))
    held = dict(lie.client._held)
    lie.group.advance(0) or lie.group.advance(10)
    for number, peer in enumerate(lie.fleet.peers):
        if number not in dropped:
            lie.fleet.say(lie.group, peer, "consistency")
    lie.group.advance(0)
    shares = codec.decode_unmask(lie.client.unmask(lie.inbox("consistency")), lie.context, 6)
    for dealer, share in enumerate(shares):
        assert share == held[dealer][dealer in dropped]
        assert share != held[dealer][dealer not in dropped]


def test_p6_a_late_input_stays_covered_after_its_pair_masks_are_known():
    """Declared dropped, then its masked input arrives: pair masks alone do not uncover it, the self
    mask stays on.
    """
    lie = Lie(n=5, until=1)
    late = lie.fleet.peers[4]
    late.client.accept_shares(lie.group.inbox("shares", late.device_id))
    body = late.client.mask(late.sealed)
    held_self = late.client._self_secret
    for peer in lie.fleet.peers[:4]:
        lie.fleet.say(lie.group, peer, "masked")
    lie.group.advance(10)
    for kind in KINDS[2:]:
        for peer in lie.fleet.peers[:4]:
            lie.fleet.say(lie.group, peer, kind)
        lie.group.advance(0)
    from agent.protocol.keys import self_key
    from agent.protocol.masking import apply

    config = lie.fleet.config
    masked = unpack(
        codec.decode_masked(body, lie.context, config).words, config.bits, len(late.words)
    )
    # The whole knowledge of the aggregator: this device's masking key, hence every pair mask.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    from server_stub.secagg.unmasking import _left_over

    opening = type("O", (), {})()
    opening.context, opening.model_digest, opening.config_digest = (
        lie.context,
        config.model_digest,
        config.digest,
    )
    opening.masking_keys = [one.masking_key for one in lie.advertisements()]
    secret = lie.fleet.peers[4].client._masking.private_bytes_raw()
    public = {
        number: X25519PublicKey.from_public_bytes(opening.masking_keys[number])
        for number in range(4)
    }
    above, below = _left_over(4, secret, opening, public)
    uncovered = masked.copy()
    apply(uncovered, below, above)
    mask = (1 << config.bits) - 1
    assert (uncovered & mask).tolist() != late.words.tolist()
    apply(uncovered, [], [self_key(held_self, lie.context, 4)])
    assert (uncovered & mask).tolist() == late.words.tolist()


# Turns, leaving, restart

CALLS = {
    DeviceEvent.JOIN: lambda client: client.advertise(),
    DeviceEvent.ROSTER: lambda client: client.shares(b""),
    DeviceEvent.INBOX: lambda client: client.accept_shares(b""),
    DeviceEvent.SEALED: lambda client: client.mask(b""),
    DeviceEvent.SURVIVORS: lambda client: client.consistency(b""),
    DeviceEvent.SIGNATURES: lambda client: client.unmask(b""),
}
REACHED = {
    DeviceState.ADVERTISED: 0,
    DeviceState.SHARED: 1,
    DeviceState.READY: 1,
    DeviceState.MASKED: 2,
    DeviceState.SIGNED: 3,
    DeviceState.UNMASKED: 4,
}


def at(state):
    """A client in a state, reached honestly."""
    if state is DeviceState.NEW:
        return Fleet(3).peers[0].client
    if state is DeviceState.LEFT:
        client = Fleet(3).peers[0].client
        client.wipe()
        return client
    lie = Lie(n=3, until=REACHED[state])
    if state is DeviceState.READY:
        lie.client.accept_shares(lie.inbox("shares"))
    assert lie.client.state is state
    return lie.client


@pytest.mark.parametrize("state", DeviceState)
def test_every_call_out_of_turn_changes_nothing(state):
    client = at(state)
    before = dict(client.__dict__)
    for event, call in CALLS.items():
        if (state, event) not in DEVICE:
            refused("OUT_OF_TURN", call, client)
    assert client.__dict__ == before


@pytest.mark.parametrize(
    "state", [state for state in DeviceState if state is not DeviceState.UNMASKED]
)
def test_p2_leaving_from_every_state_is_one_message_and_forgets_everything(state):
    client = at(state)
    body = client.leave("WITHDRAWN")
    assert len(body) < 300
    assert client.state is DeviceState.LEFT
    assert not {"_sealing", "_masking", "_self_secret", "_held"} & client.__dict__.keys()
    client.wipe()
    assert client.leave("WITHDRAWN") == body


def test_p2_after_unmasking_there_is_nothing_to_leave():
    client = at(DeviceState.UNMASKED)
    refused("OUT_OF_TURN", client.leave, "WITHDRAWN")


@pytest.mark.parametrize(
    "event",
    [
        DeviceEvent.ROSTER,
        DeviceEvent.INBOX,
        DeviceEvent.SEALED,
        DeviceEvent.SURVIVORS,
        DeviceEvent.SIGNATURES,
    ],
)
@pytest.mark.parametrize("content", [b"", b"AEG1", bytes(64), bytes(range(200)) * 2])
def test_p11_garbage_ends_the_round_and_nothing_else(event, content):
    state = next(state for state, heard in DEVICE if heard is event)
    client = at(state)
    calls = {
        DeviceEvent.ROSTER: client.shares,
        DeviceEvent.INBOX: client.accept_shares,
        DeviceEvent.SEALED: client.mask,
        DeviceEvent.SURVIVORS: client.consistency,
        DeviceEvent.SIGNATURES: client.unmask,
    }
    with pytest.raises(PeerError):
        calls[event](content)
    assert client.state is DeviceState.LEFT


# Masks


def test_p6_masked_words_are_uniform_and_tell_nothing_of_the_update():
    fleet = Fleet(3, plan(3, d=2**15, bits=16))
    for peer in fleet.peers:
        peer.words[:] = 5
        peer.sealed = Fleet.seal(peer.words, fleet.config)
    ramp = (np.arange(2**15) % 1000).astype(np.uint32)
    fleet.peers[0].words[:] = ramp
    fleet.peers[0].sealed = Fleet.seal(ramp, fleet.config)
    group = fleet.group()
    for peer in fleet.peers:
        fleet.say(group, peer, "shares")
    group.advance(0)
    seen = []
    for peer in fleet.peers:
        body = fleet.say(group, peer, "masked")
        seen.append(
            unpack(codec.decode_masked(body, group._context, fleet.config).words, 16, 2**15)
        )
    for words in seen:
        counts = np.bincount(words >> 8, minlength=256)
        assert abs(((counts - 128) ** 2 / 128).sum() - 255) < 6 * (2 * 255) ** 0.5
        assert abs(np.corrcoef(words, ramp)[0, 1]) < 6 / 2**7.5
    assert abs(np.corrcoef(seen[0], seen[1])[0, 1]) < 6 / 2**7.5


def test_no_numpy_until_the_first_mask():
    """The agent loads the machine, not the vectors."""
    import subprocess
    import sys

    code = "import sys, agent.secagg.client; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
