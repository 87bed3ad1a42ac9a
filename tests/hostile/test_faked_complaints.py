"""A lying aggregator that wants devices to give shares of a victim away gets none (P6).

Two attacks with real devices. Together their honest devices hold enough shares to uncover the
victim's input, and the victim has sent it.
"""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from agent.errors import PeerError
from agent.protocol import codec
from agent.protocol.exchange_proof import proven_secret
from agent.protocol.sealed_shares import open_shares
from agent.protocol.states import DeviceState
from tests.fakes.secagg import LyingAggregator, plan

N, VICTIM = 9, 0


def refuses_to_mask(peer):
    with pytest.raises(PeerError) as raised:
        peer.client.mask(peer.sealed)
    return raised.value.code == "OUT_OF_TURN" and peer.client.state is DeviceState.LEFT


def opened_with(complaints, dealings, lie):
    """Every share that the secrets of these complaints open, as (dealer, holder)."""
    members, found = lie.advertisements(), set()
    for accuser, body in complaints.items():
        for one in codec.decode_complaint(body, lie.context, accuser, N).accusations:
            secret = proven_secret(
                members[accuser].sealing_key,
                members[one.dealer].sealing_key,
                one.proof,
                codec.accusation_context(lie.context, one.dealer, accuser),
            )
            for dealer, dealing in dealings.items():
                for holder in set(range(N)) - {dealer}:
                    try:
                        open_shares(secret, lie.context, dealer, holder, dealing.to[holder])
                    except ValueError:
                        continue
                    found.add((dealer, holder))
    return found


def test_p6_damaged_shares_of_an_honest_victim_make_nobody_give_one_away():
    lie = LyingAggregator(N, phases=1, config=plan(N, min_sum=3))
    victim, dealings = lie.victim, lie.dealings()
    assert victim.client.accept_shares(lie.inbox("shares")) == ()
    assert victim.client.mask(victim.sealed)  # what the aggregator wants to uncover
    spoiled = replace(
        dealings[VICTIM],
        to=tuple(
            replace(piece, sealed=os.urandom(codec.SEALED_SHARES_BYTES)) if piece.sealed else piece
            for piece in dealings[VICTIM].to
        ),
    )
    honest = codec.encode_dealing(lie.context, VICTIM, dealings[VICTIM])
    forged = codec.encode_dealing(lie.context, VICTIM, spoiled)
    by_accomplice = lie.fleet.peers[8]
    resigned = replace(
        spoiled,
        signature=by_accomplice.sign(
            codec.dealing_statement(lie.context, codec.dealing_payload(VICTIM, spoiled))
        ),
    )
    shown = [honest, forged, codec.encode_dealing(lie.context, VICTIM, resigned), b""]
    given = []
    for number, peer in enumerate(lie.fleet.peers[1:], 1):
        inbox = codec.encode_inbox(lie.context, number, {**dealings, VICTIM: spoiled})
        assert peer.client.accept_shares(inbox) == (VICTIM,)
        given.append(peer.client.complaint({VICTIM: shown[number % len(shown)]}))
        assert refuses_to_mask(peer)
    assert given == [None] * (N - 1)
    assert lie.threshold <= N - 1  # they would have been enough


def test_p6_a_colluding_dealer_makes_all_others_complain_and_no_share_of_the_victim_opens():
    """The dealer signs garbage for everybody but the victim. All of them give a secret away."""
    lie = LyingAggregator(N, phases=1, config=plan(N, min_sum=3))
    colluder, members = lie.fleet.peers[8], lie.advertisements()
    dealings = lie.dealings()
    garbage = replace(
        dealings[8],
        to=tuple(
            replace(piece, sealed=os.urandom(codec.SEALED_SHARES_BYTES))
            if piece.sealed and holder != VICTIM
            else piece
            for holder, piece in enumerate(dealings[8].to)
        ),
    )
    signed = lie.sign_dealing(8, garbage)
    dealings[8] = codec.decode_dealing(signed, lie.context, 8, N)
    assert lie.client.accept_shares(codec.encode_inbox(lie.context, VICTIM, dealings)) == ()
    assert lie.client.mask(lie.victim.sealed)
    complaints = {}
    for number, peer in enumerate(lie.fleet.peers[1:8], 1):
        assert peer.client.accept_shares(codec.encode_inbox(lie.context, number, dealings)) == (8,)
        complaints[number] = peer.client.complaint({8: signed})
        assert refuses_to_mask(peer)
    assert all(complaints.values())
    opened = opened_with(complaints, dealings, lie)
    # What an accuser dealt to the colluder, which knows it anyway; the accusers mask nothing.
    assert opened == {(accuser, 8) for accuser in complaints}
    # The colluder itself holds one share of the victim, as it does without any complaint.
    mine = colluder.sealing.exchange(X25519PublicKey.from_public_bytes(members[VICTIM].sealing_key))
    assert open_shares(mine, lie.context, VICTIM, 8, dealings[VICTIM].to[8])
    assert lie.threshold > 1
