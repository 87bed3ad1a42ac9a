"""Only its holder can read a share, masks cover each input, and a wipe leaves no secret."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.protocol import codec
from agent.protocol.keys import pair_key, self_key
from agent.protocol.masking import apply
from agent.protocol.packing import unpack
from tests.fakes.secagg import KINDS, Fleet, LyingAggregator, plan


def spoiled(lie, piece):
    """What the devices dealt, but `piece` is what device 3 dealt to the victim."""
    dealings = lie.dealings()
    dealings[3] = replace(dealings[3], to=(piece, *dealings[3].to[1:]))
    return dealings


@pytest.mark.parametrize("part", ["sealed", "self_commitment", "pair_commitment"])
def test_the_dealer_of_unreadable_shares_is_named_at_once(part):
    lie = LyingAggregator(phases=1)
    piece = lie.dealings()[3].to[0]
    bad = replace(piece, **{part: bytes(len(getattr(piece, part)))})
    assert lie.client.accept_shares(lie.inbox_body(spoiled(lie, bad))) == (3,)


def test_shares_meant_for_another_device_are_unreadable():
    lie = LyingAggregator(phases=1)
    other = lie.dealings()[3].to[1]
    assert lie.client.accept_shares(lie.inbox_body(spoiled(lie, other))) == (3,)


def test_shares_from_another_dealer_are_unreadable():
    lie = LyingAggregator(phases=1)
    other = lie.dealings()[2].to[0]
    assert lie.client.accept_shares(lie.inbox_body(spoiled(lie, other))) == (3,)


@pytest.mark.parametrize("dropped", [set(), {3}, {2, 4}])
def test_p6_one_share_of_each_dealer_is_given_away_and_never_both(dropped):
    lie = LyingAggregator(n=6, phases=1)
    for number, peer in enumerate(lie.fleet.peers):
        peer.client.accept_shares(lie.group.inbox("shares", peer.device_id))
        if number not in dropped:
            lie.group.receive("masked", peer.device_id, peer.client.mask(peer.sealed))
    lie.group.advance(0) or lie.group.advance(10)
    for number, peer in enumerate(lie.fleet.peers):
        if number not in dropped:
            lie.fleet.send(lie.group, peer, "consistency")
    lie.group.advance(0)
    shares, _ = codec.decode_unmask(lie.client.unmask(lie.inbox("consistency")), lie.context, 6)
    for dealer, share in enumerate(shares):
        self_share, pair_share = lie.fleet.peers[dealer].dealt(lie.threshold, 6)[0]
        assert self_share != pair_share
        assert share == (pair_share if dealer in dropped else self_share)


def test_p6_a_late_input_stays_covered_after_its_pair_masks_are_known():
    """A device is declared dropped, then its masked input arrives.

    The pair masks alone do not uncover it, because the self mask stays on.
    """
    lie = LyingAggregator(n=5, phases=1)
    late = lie.fleet.peers[4]
    late.client.accept_shares(lie.group.inbox("shares", late.device_id))
    body = late.client.mask(late.sealed)
    for peer in lie.fleet.peers[:4]:
        lie.fleet.send(lie.group, peer, "masked")
    lie.group.advance(10)
    for kind in KINDS[2:]:
        for peer in lie.fleet.peers[:4]:
            lie.fleet.send(lie.group, peer, kind)
        lie.group.advance(0)
    config = lie.fleet.config
    uncovered = unpack(
        codec.decode_masked(body, lie.context, config).words, config.bits, len(late.words)
    )
    # All that the aggregator learns: the device's masking key, and so every pair mask.
    pair_masks = []
    for peer, member in enumerate(lie.advertisements()[:4]):
        secret = late.masking.exchange(X25519PublicKey.from_public_bytes(member.masking_key))
        pair_masks.append(
            pair_key(secret, lie.context, 4, peer, config.model_digest, config.digest)
        )
    apply(uncovered, pair_masks, [])  # device 4 subtracted them: it has the highest number
    mask = (1 << config.bits) - 1
    assert (uncovered & mask).tolist() != late.words.tolist()
    apply(uncovered, [], [self_key(late.self_secret, lie.context, 4)])
    assert (uncovered & mask).tolist() == late.words.tolist()


def test_p6_masks_of_devices_on_different_models_do_not_cancel():
    keys = {
        pair_key(bytes(32), bytes(32), 0, 1, model, config)
        for model in ("aa" * 32, "bb" * 32)
        for config in ("cc" * 32, "dd" * 32)
    }
    assert len(keys) == 4


def test_p6_masked_words_are_uniform_and_reveal_nothing_of_the_update():
    fleet = Fleet(3, plan(3, d=2**15, bits=16))
    for peer in fleet.peers:
        peer.words[:] = 5
        peer.sealed = Fleet.seal(peer.words, fleet.config)
    ramp = (np.arange(2**15) % 1000).astype(np.uint32)
    fleet.peers[0].words[:] = ramp
    fleet.peers[0].sealed = Fleet.seal(ramp, fleet.config)
    group = fleet.group()
    first = codec.round_context(fleet.config)
    roster = codec.decode_roster(group.inbox("advertise", fleet.peers[0].device_id), first)
    context = codec.group_context(first, roster)
    for peer in fleet.peers:
        fleet.send(group, peer, "shares")
    group.advance(0)
    masked = []
    for peer in fleet.peers:
        body = fleet.send(group, peer, "masked")
        masked.append(unpack(codec.decode_masked(body, context, fleet.config).words, 16, 2**15))
    for words in masked:
        counts = np.bincount(words >> 8, minlength=256)
        assert abs(((counts - 128) ** 2 / 128).sum() - 255) < 6 * (2 * 255) ** 0.5
        assert abs(np.corrcoef(words, ramp)[0, 1]) < 6 / 2**7.5
    assert abs(np.corrcoef(masked[0], masked[1])[0, 1]) < 6 / 2**7.5


@pytest.mark.parametrize("phases", [0, 1, 2, 3])
def test_p2_a_wipe_leaves_no_secret_alive(phases):
    lie = LyingAggregator(phases=phases)
    assert len(lie.secrets_alive()) >= 3  # the search finds what is there
    lie.client.wipe()
    lie.assert_left_without_secrets()


def test_p6_each_secret_dies_once_it_is_not_used_again():
    lie = LyingAggregator(n=5, phases=1)
    sealing, masking, self_secret = lie.victim.drawn[:3]

    def alive():
        keys = [
            one.private_bytes_raw() if isinstance(one, X25519PrivateKey) else one
            for one in lie.secrets_alive()
        ]
        return {name for name, secret in secrets.items() if secret in keys}

    dealt = lie.fleet.peers[3].dealt(lie.threshold, 5)[0]
    secrets = {
        "sealing": sealing,
        "masking": masking,
        "self": self_secret,
        "self share": dealt[0],
        "pair share": dealt[1],
    }
    assert alive() == {"sealing", "masking", "self"}
    assert lie.client.accept_shares(lie.inbox("shares")) == ()
    assert alive() == {"masking", "self", "self share", "pair share"}
    lie.client.mask(lie.victim.sealed)
    assert alive() == {"self share", "pair share"}
    lie.client.consistency(codec.encode_survivors(lie.context, {0, 1, 2, 4}))
    assert alive() == {"pair share"}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, RuntimeError, AssertionError])
@pytest.mark.parametrize("phase", range(5))
def test_p2_an_exception_of_any_type_wipes_the_secrets(error, phase, monkeypatch):
    """Whatever goes wrong inside a phase."""
    lie = LyingAggregator(phases=phase % 4)
    at = [
        ("agent.protocol.codec.decode_roster", lambda: lie.client.shares(b"")),
        ("agent.protocol.codec.decode_inbox", lambda: lie.client.accept_shares(b"")),
        ("agent.protocol.codec.decode_survivors", lambda: lie.client.consistency(b"")),
        ("agent.protocol.codec.decode_signatures", lambda: lie.client.unmask(b"")),
        ("agent.protocol.codec.encode_leave", lambda: lie.client.leave("quit")),
    ]
    name, call = at[phase]
    monkeypatch.setattr(name, raising(error))
    with pytest.raises(error):
        call()
    lie.assert_left_without_secrets()


def raising(error):
    def raise_it(*_):
        raise error

    return raise_it
