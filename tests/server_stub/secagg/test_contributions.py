"""What a device sends is checked before it is kept: form, signature, commitment."""

from dataclasses import replace

import pytest

from agent.errors import PeerError
from agent.protocol import codec
from server_stub.quarantine.evidence import Verdict
from server_stub.secagg.contributions import Contributions, SenderFaultError
from tests.fakes.secagg import KINDS, Fleet, returned, signed_dealing


def stage(kinds):
    """A group whose devices have sent everything up to `kinds`, with its fleet."""
    fleet = Fleet(4)
    group = fleet.group()
    for kind in kinds:
        for peer in fleet.peers:
            fleet.send(group, peer, kind)
        group.advance(0)
    return fleet, group


def faulty(code, call, *arguments):
    with pytest.raises(SenderFaultError) as raised:
        call(*arguments)
    assert raised.value.code == code
    return raised.value.proof


def refused(code, call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    assert raised.value.code == code
    assert not isinstance(raised.value, SenderFaultError)


def test_a_masked_input_counts_only_for_its_signer_and_from_a_dealer():
    fleet, group = stage(KINDS[:1])
    one = fleet.peers[0]
    one.client.accept_shares(group.inbox("shares", one.device_id))
    body = one.client.mask(one.sealed)
    sent = group.contributions
    faulty("MASKED_SIGNATURE", sent.add_input, 1, body)
    assert sent.inputs == {}
    late = Contributions(group.drawn)
    refused("ROUND_CLOSED", late.add_input, 0, body)
    sent.add_input(0, body)
    assert sent.counts()["masked"] == 1


@pytest.mark.parametrize("cut", [1, 3])
def test_a_signed_masked_input_of_another_size_proves_its_senders_fault(cut):
    fleet, group = stage(KINDS[:1])
    one = fleet.peers[0]
    one.client.accept_shares(group.inbox("shares", one.device_id))
    context = group.drawn.context
    masked = codec.decode_masked(one.client.mask(one.sealed), context, fleet.config)
    header = {
        name: value
        for name, value in masked.header.items()
        if name not in ("kind", "context", "signature")
    }
    sent, words = group.contributions, masked.words[:-cut]
    short = codec.encode_masked(context, header, words, masked.signature)
    assert faulty("MASKED_SIGNATURE", sent.add_input, 0, short) is None
    signature = one.sign(codec.masked_statement(context, sent.dealers, words))
    short = codec.encode_masked(context, header, words, signature)
    proof = faulty("WRONG_LENGTH", sent.add_input, 0, short)
    assert proof.verdict == Verdict(one.device_id, "WRONG_LENGTH")
    assert words.hex() not in str(proof.to_json())


def test_what_a_dealer_deals_is_signed_by_it_and_complete():
    fleet = Fleet(4)
    group = fleet.group()
    one, context, sent = fleet.peers[0], group.drawn.context, group.contributions
    body = one.client.shares(group.inbox("advertise", one.device_id))
    dealing = codec.decode_dealing(body, context, 0, 4)
    assert faulty("SHARES_SIGNATURE", sent.add_dealing, 1, body) is None
    other = codec.encode_dealing(context, 0, replace(dealing, self_digest=bytes(32)))
    assert faulty("SHARES_SIGNATURE", sent.add_dealing, 0, other) is None
    short = signed_dealing(one, context, 0, replace(dealing, to=dealing.to[:3]))
    proof = faulty("WRONG_LENGTH", sent.add_dealing, 0, short)
    assert proof.verdict == Verdict(one.device_id, "WRONG_LENGTH")
    assert sent.dealings == {}
    sent.add_dealing(0, body)
    assert sent.dealings == {0: dealing}


def test_a_device_that_signs_two_sets_of_survivors_proves_its_own_fault():
    fleet, group = stage(KINDS[:2])
    one, context, sent = fleet.peers[0], group.drawn.context, group.contributions
    body = one.client.consistency(group.inbox("masked", one.device_id))

    def signed(survivors):
        sets = codec.agreement(sent.dealers, frozenset(survivors))
        return codec.encode_consistency(
            context, replace(sets, signature=one.sign(sets.statement(context)))
        )

    # One other set alone might be what an aggregator showed to it.
    assert faulty("CONSISTENCY_SIGNATURE", sent.add_signature, 0, signed({0, 1, 2})) is None
    assert faulty("CONSISTENCY_SIGNATURE", sent.add_signature, 0, signed({0, 1, 2})) is None
    proof = faulty("SURVIVORS_TWICE", sent.add_signature, 0, body)
    assert proof.verdict == Verdict(one.device_id, "SURVIVORS_TWICE")


def test_a_consistency_signature_counts_from_a_survivor_over_the_announced_survivors():
    fleet, group = stage(KINDS[:2])
    one = fleet.peers[0]
    body = one.client.consistency(group.inbox("masked", one.device_id))
    sent = group.contributions
    faulty("CONSISTENCY_SIGNATURE", sent.add_signature, 1, body)
    survivors = sent.survivors
    sent.survivors = survivors - {3}
    faulty("CONSISTENCY_SIGNATURE", sent.add_signature, 0, body)
    sent.survivors = survivors
    sent.add_signature(0, body)
    assert sent.signatures.keys() == {0}


def test_signatures_that_arrive_after_the_announcement_are_kept_but_not_announced():
    fleet, group = stage(KINDS[:2])
    bodies = [
        peer.client.consistency(group.inbox("masked", peer.device_id)) for peer in fleet.peers
    ]
    sent = group.contributions
    for number in (0, 1, 2):
        sent.add_signature(number, bodies[number])
    sent.announce_signatures()
    sent.add_signature(3, bodies[3])
    assert sent.announced_signatures.keys() == {0, 1, 2}
    assert sent.counts()["signed"] == 4


@pytest.mark.parametrize("dealer", range(4))
def test_each_returned_share_must_be_the_one_that_was_dealt(dealer):
    fleet, group = stage(KINDS[:3])
    one, context = fleet.peers[0], group.drawn.context
    body = one.client.unmask(group.inbox("consistency", one.device_id))
    right, signature = codec.decode_unmask(body, context, 4)
    shares = list(right)
    shares[dealer] = bytes([shares[dealer][0] ^ 1]) + shares[dealer][1:]
    sent = group.contributions
    unsigned = codec.encode_unmask(context, shares, signature)
    assert faulty("SHARE_FALSE", sent.add_shares, 0, unsigned) is None
    proof = faulty("SHARE_FALSE", sent.add_shares, 0, returned(group, one, 0, shares))
    assert proof.verdict == Verdict(one.device_id, "SHARE_FALSE")
    assert not any(share.hex() in str(proof.to_json()) for share in (*right, *shares))
    assert sent.shares == {}
    sent.survivors = sent.survivors - {0}
    refused("ROUND_CLOSED", sent.add_shares, 0, body)


def test_discarding_deletes_inputs_and_shares_and_keeps_the_counts_of_who_answered():
    fleet, group = stage(KINDS[:3])
    for peer in fleet.peers:
        fleet.send(group, peer, "unmask")
    sent = group.contributions
    assert any(sent.shares.values())
    before = sent.counts()
    sent.discard_secrets()
    assert sent.inputs == {}
    assert not any(sent.shares.values())
    assert sent.counts() == before
