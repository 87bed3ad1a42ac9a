"""The device's state machine against a lying aggregator: order, survivors, unmasking, leaving.

Every refusal ends the round and forgets its secrets.
"""

import subprocess
import sys
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from agent.errors import PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec
from agent.protocol.exchange_proof import proven_secret
from agent.protocol.states import DEVICE, DeviceEvent, DeviceState, LeaveReason
from tests.fakes.secagg import KINDS, Fleet, LyingAggregator, plan, signed_dealing


def refused(code, call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    assert raised.value.code == code
    assert raised.value.message.endswith(".")


@pytest.mark.parametrize(
    "round_id", [6, 7], ids=["an earlier round", "another group of this round"]
)
@pytest.mark.parametrize(
    ("phases", "after", "call"),
    [
        (0, "advertise", "shares"),
        (1, "shares", "accept_shares"),
        (2, "masked", "consistency"),
        (3, "consistency", "unmask"),
    ],
    ids=["roster", "shares", "survivors", "signatures"],
)
def test_a_message_replayed_from_elsewhere_is_refused(phases, after, call, round_id):
    """Genuine messages of another group of the same devices: every signature is valid."""
    lie = LyingAggregator(phases=phases)
    other = LyingAggregator(phases=phases, config=plan(5, round_id=round_id))
    # Another group's roster has this round's context: it is refused for what is in it.
    is_roster_of_this_round = (after, round_id) == ("advertise", 7)
    expected = "ROSTER_SELF" if is_roster_of_this_round else "WRONG_CONTEXT"
    refused(expected, getattr(lie.client, call), other.inbox(after))
    lie.assert_left_without_secrets()


# Dealers and the sealed update


def test_too_few_dealers_are_refused():
    lie = LyingAggregator(phases=1)
    refused("DEALERS", lie.client.accept_shares, lie.inbox_body(lie.dealings([0, 1])))
    lie.assert_left_without_secrets()


def test_dealers_without_this_device_are_refused():
    lie = LyingAggregator(phases=1)
    refused("DEALERS", lie.client.accept_shares, lie.inbox_body(lie.dealings([1, 2, 3, 4])))


def test_an_update_sealed_for_another_round_is_not_masked():
    lie = LyingAggregator(phases=1)
    lie.client.accept_shares(lie.inbox("shares"))
    other = replace(lie.fleet.config, round_id=8)
    refused("SEALED_OTHER_ROUND", lie.client.mask, Fleet.seal(lie.victim.words, other))
    lie.assert_left_without_secrets()


# Unreadable shares


def doubting(dealer, **changes):
    """A victim that cannot read what `dealer` dealt, and the signed message that shows it."""
    lie = LyingAggregator(phases=1)
    dealings = lie.dealings()
    spoiled = replace(dealings[dealer].to[0], **changes)
    dealings[dealer] = replace(dealings[dealer], to=(spoiled, *dealings[dealer].to[1:]))
    assert lie.client.accept_shares(lie.inbox_body(dealings)) == (dealer,)
    return lie, lie.sign_dealing(dealer, dealings[dealer])


def test_a_dealer_that_signed_unreadable_shares_is_accused_with_the_secret_shared_with_it():
    lie, dealing = doubting(3, sealed=bytes(codec.SEALED_SHARES_BYTES))
    body = lie.client.complaint({3: dealing})
    lie.assert_left_without_secrets()
    complaint = codec.decode_complaint(body, lie.context, 0, 5)
    (accusation,) = complaint.accusations
    own, theirs = (lie.advertisements()[number].sealing_key for number in (0, 3))
    context = codec.accusation_context(lie.context, 3, 0)
    secret = proven_secret(own, theirs, accusation.proof, context)
    assert secret == lie.victim.sealing.exchange(X25519PublicKey.from_public_bytes(theirs))
    # Only one secret leaves: neither the key nor what is shared with anybody else.
    others = [
        lie.victim.sealing.exchange(lie.fleet.peers[number].sealing.public_key())
        for number in (1, 2, 4)
    ]
    assert not any(one in body for one in (lie.victim.drawn[0], *others))


def test_p6_after_a_complaint_the_device_masks_nothing():
    lie, dealing = doubting(3, sealed=bytes(codec.SEALED_SHARES_BYTES))
    refused("OUT_OF_TURN", lie.client.mask, lie.victim.sealed)
    assert lie.client.complaint({3: dealing})
    refused("OUT_OF_TURN", lie.client.mask, lie.victim.sealed)
    refused("OUT_OF_TURN", lie.client.complaint, {3: dealing})


def test_p6_a_masked_device_gives_no_secret_away():
    _, dealing = doubting(3, sealed=bytes(codec.SEALED_SHARES_BYTES))
    masked = LyingAggregator(phases=2)
    refused("OUT_OF_TURN", masked.client.complaint, {3: dealing})


@pytest.mark.parametrize("part", ["sealed", "self_commitment", "pair_commitment"])
def test_p6_nothing_is_given_away_over_shares_that_their_dealer_did_not_sign(part):
    """An aggregator that changes the shares of an honest dealer learns none of them."""
    true = LyingAggregator(phases=1).dealings()[3].to[0]
    lie, forged = doubting(3, **{part: bytes(len(getattr(true, part)))})
    dealings = lie.dealings()
    honest = codec.encode_dealing(lie.context, 3, dealings[3])
    unsigned = codec.encode_dealing(
        lie.context,
        3,
        replace(codec.decode_dealing(forged, lie.context, 3, 5), signature=dealings[3].signature),
    )
    others = signed_dealing(
        lie.fleet.peers[4], lie.context, 3, codec.decode_dealing(forged, lie.context, 3, 5)
    )
    for shown in (honest, unsigned, others, b"", forged[:-1]):
        again, _ = doubting(3, sealed=bytes(codec.SEALED_SHARES_BYTES))
        assert again.client.complaint({3: shown}) is None
        again.assert_left_without_secrets()
    # The same dealing, each with what it was shown for.
    assert lie.client.complaint({3: honest}) is None


def test_only_the_dealers_of_unreadable_shares_are_accused():
    lie, dealing = doubting(3, sealed=bytes(codec.SEALED_SHARES_BYTES))
    other = codec.encode_dealing(lie.context, 2, lie.dealings()[2])
    body = lie.client.complaint({2: other, 3: dealing})
    complaint = codec.decode_complaint(body, lie.context, 0, 5)
    assert [one.dealer for one in complaint.accusations] == [3]


# Survivors


@pytest.mark.parametrize("survivors", [{0, 1}, {1, 2, 3, 4}, {0, 1, 2}])
def test_p6_survivors_below_the_minimum_or_without_this_device_are_refused(survivors):
    lie = LyingAggregator(phases=2, config=plan(5, min_sum=4))
    refused("SURVIVORS", lie.client.consistency, codec.encode_survivors(lie.context, survivors))
    lie.assert_left_without_secrets()


def test_p6_this_devices_own_minimum_counts_when_it_is_above_the_rounds():
    lie = LyingAggregator(
        phases=2,
        config=plan(5, min_sum=3),
        limits=DeviceLimits(min_group=3, min_sum=5, gamma_milli=0),
    )
    refused("SURVIVORS", lie.client.consistency, codec.encode_survivors(lie.context, {0, 1, 2, 3}))


def test_survivors_who_never_dealt_are_refused():
    lie = LyingAggregator(n=6)
    for peer in lie.fleet.peers[:5]:
        lie.fleet.send(lie.group, peer, "shares")
    lie.group.advance(10)
    for peer in lie.fleet.peers[:5]:
        lie.fleet.send(lie.group, peer, "masked")
    refused("SURVIVORS", lie.client.consistency, codec.encode_survivors(lie.context, range(6)))


def test_p6_a_single_set_of_survivors_is_signed():
    lie = LyingAggregator(phases=2)
    lie.client.consistency(lie.inbox("masked"))
    refused("OUT_OF_TURN", lie.client.consistency, codec.encode_survivors(lie.context, {0, 1, 2}))
    assert lie.client.state is DeviceState.SIGNED


# Signatures and unmasking


def test_p6_two_views_of_the_survivors_reach_no_quorum():
    """Each half of the group gets another set: neither half has enough signatures."""
    lie = LyingAggregator(n=6, phases=2, config=plan(6, min_sum=3))
    views = [frozenset({0, 1, 2, 3}), frozenset({0, 1, 2, 4})]
    signatures = {}
    for number, view in ((0, 0), (1, 0), (3, 0), (2, 1), (4, 1)):
        peer = lie.fleet.peers[number]
        body = peer.client.consistency(codec.encode_survivors(lie.context, views[view]))
        signatures[number] = codec.decode_consistency(body, lie.context).signature
    refused("SIGNATURES", lie.client.unmask, codec.encode_signatures(lie.context, signatures))
    lie.assert_left_without_secrets()


def test_p6_too_few_signatures_are_refused():
    lie = LyingAggregator(phases=3)
    signatures = lie.signatures()
    few = {number: signatures[number] for number in range(lie.threshold - 1)}
    refused("SIGNATURES", lie.client.unmask, codec.encode_signatures(lie.context, few))


def test_p6_one_signature_does_not_count_twice():
    lie = LyingAggregator(phases=3)
    repeated = dict.fromkeys(range(5), lie.signatures()[1])
    refused("SIGNATURES", lie.client.unmask, codec.encode_signatures(lie.context, repeated))


def test_p6_the_device_unmasks_once_and_its_secrets_are_wiped():
    lie = LyingAggregator(phases=3)
    body = lie.inbox("consistency")
    lie.client.unmask(body)
    assert lie.secrets_alive() == []
    refused("OUT_OF_TURN", lie.client.unmask, body)
    assert lie.client.state is DeviceState.UNMASKED


# Order, leaving, garbage

CALLS = {
    DeviceEvent.JOIN: lambda client, _: client.advertise(),
    DeviceEvent.ROSTER: lambda client, body: client.shares(body),
    DeviceEvent.INBOX: lambda client, body: client.accept_shares(body),
    DeviceEvent.DEALINGS: lambda client, body: client.complaint({2: body}),
    DeviceEvent.SEALED: lambda client, body: client.mask(body),
    DeviceEvent.SURVIVORS: lambda client, body: client.consistency(body),
    DeviceEvent.SIGNATURES: lambda client, body: client.unmask(body),
}
PHASES = {
    DeviceState.ADVERTISED: 0,
    DeviceState.SHARED: 1,
    DeviceState.READY: 1,
    DeviceState.DOUBTING: 1,
    DeviceState.MASKED: 2,
    DeviceState.SIGNED: 3,
    DeviceState.UNMASKED: 4,
}
"""How many honest phases lead to a state."""


def at(state):
    """Bring a victim into a state through honest phases."""
    lie = LyingAggregator(n=3, phases=PHASES[state])
    if state is DeviceState.READY:
        lie.client.accept_shares(lie.inbox("shares"))
    elif state is DeviceState.DOUBTING:
        dealings = lie.dealings()
        spoiled = replace(dealings[2].to[0], sealed=bytes(codec.SEALED_SHARES_BYTES))
        dealings[2] = replace(dealings[2], to=(spoiled, *dealings[2].to[1:]))
        assert lie.client.accept_shares(lie.inbox_body(dealings)) == (2,)
    assert lie.client.state is state
    return lie


def client_at(state):
    if state in PHASES:
        return at(state).client
    client = Fleet(3).peers[0].client
    if state is DeviceState.LEFT:
        client.wipe()
    assert client.state is state
    return client


@pytest.mark.parametrize("state", DeviceState)
def test_every_call_out_of_turn_is_refused_and_changes_no_state(state):
    client = client_at(state)
    for event, call in CALLS.items():
        if (state, event) not in DEVICE:
            refused("OUT_OF_TURN", call, client, b"")
            assert client.state is state


@pytest.mark.parametrize(
    "state",
    [
        state
        for state in PHASES
        if state not in (DeviceState.UNMASKED, DeviceState.DOUBTING)  # it can only leave
    ],
)
def test_calls_out_of_turn_do_not_disturb_the_round(state):
    lie = at(state)
    for event, call in CALLS.items():
        if (state, event) not in DEVICE:
            refused("OUT_OF_TURN", call, lie.client, b"")
    if state is DeviceState.READY:
        lie.group.receive("masked", lie.victim.device_id, lie.client.mask(lie.victim.sealed))
        for peer in lie.fleet.peers[1:]:
            lie.fleet.send(lie.group, peer, "masked")
        lie.group.advance(0)
    for kind in KINDS[PHASES[state] + (state is DeviceState.READY) :]:
        lie.phase(kind)
    assert lie.client.state is DeviceState.UNMASKED
    result = lie.group.result
    assert result.words.tolist() == lie.fleet.expected(result.devices).tolist()


@pytest.mark.parametrize(
    "state", [state for state in DeviceState if state is not DeviceState.UNMASKED]
)
def test_p2_leaving_from_every_state_is_one_short_message(state):
    client = client_at(state)
    body = client.leave(LeaveReason.WITHDRAWN)
    assert len(body) < 300
    assert client.state is DeviceState.LEFT
    client.wipe()
    assert client.leave(LeaveReason.WITHDRAWN) == body


@pytest.mark.parametrize("state", [state for state in PHASES if state is not DeviceState.UNMASKED])
def test_p2_leaving_wipes_every_secret(state):
    lie = at(state)
    assert lie.secrets_alive()
    lie.client.leave(LeaveReason.WITHDRAWN)
    lie.assert_left_without_secrets()


def test_p2_after_unmasking_there_is_nothing_to_leave():
    refused("OUT_OF_TURN", client_at(DeviceState.UNMASKED).leave, LeaveReason.WITHDRAWN)


@pytest.mark.parametrize("event", [event for event in CALLS if event is not DeviceEvent.JOIN])
@pytest.mark.parametrize("content", [b"", b"AEG1", bytes(64), bytes(range(200)) * 2])
def test_p11_garbage_ends_the_round_and_nothing_else(event, content):
    lie = at(next(state for state, expected in DEVICE if expected is event))
    if event is DeviceEvent.DEALINGS:
        assert CALLS[event](lie.client, content) is None  # it accuses nobody
    else:
        with pytest.raises(PeerError):
            CALLS[event](lie.client, content)
    lie.assert_left_without_secrets()


def test_numpy_is_not_loaded_before_the_first_mask():
    """The agent loads the state machine without the code for vectors."""
    code = "import sys, agent.secagg.client; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
