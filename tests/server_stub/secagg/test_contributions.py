"""What a device sends is checked before it is kept: form, signature, commitment."""

import pytest

from agent.errors import PeerError
from agent.protocol import codec
from server_stub.secagg.contributions import Contributions, SenderFaultError
from tests.fakes.secagg import KINDS, Fleet


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


def test_a_masked_input_of_another_size_is_refused_without_proving_a_fault():
    fleet, group = stage(KINDS[:1])
    one = fleet.peers[0]
    one.client.accept_shares(group.inbox("shares", one.device_id))
    masked = codec.decode_masked(one.client.mask(one.sealed), group.drawn.context, fleet.config)
    header = {
        name: value
        for name, value in masked.header.items()
        if name not in ("kind", "context", "signature")
    }
    short = codec.encode_masked(group.drawn.context, header, masked.words[:-1], masked.signature)
    with pytest.raises(PeerError) as raised:
        group.contributions.add_input(0, short)
    assert not isinstance(raised.value, SenderFaultError)


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
    shares = list(codec.decode_unmask(body, context, 4))
    shares[dealer] = bytes([shares[dealer][0] ^ 1]) + shares[dealer][1:]
    sent = group.contributions
    faulty("SHARE_FALSE", sent.add_shares, 0, codec.encode_unmask(context, shares))
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
