"""Whole groups: every way of dropping out ends in the exact sum over the survivors or in
nothing.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from agent.errors import PeerError
from agent.protocol import codec
from agent.protocol.states import GroupState, LeaveReason
from server_stub.quarantine.evidence import Verdict
from server_stub.secagg.join_phase import JoinPhase
from tests.fakes.secagg import KINDS, Fleet, plan, returned, signed_dealing


def subsets(n):
    return [set(chosen) for size in range(n + 1) for chosen in combinations(range(n), size)]


def check(fleet, group):
    """The invariant of the whole protocol."""
    if group.state is GroupState.DONE:
        assert group.result.count >= fleet.config.min_sum
        assert group.result.words.tolist() == fleet.expected(group.result.devices).tolist()
    else:
        assert group.state is GroupState.ABORTED
        assert group.result is None


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_p6_any_devices_may_drop_out_of_any_phase_and_the_sum_is_exact_or_absent(n):
    for phase in KINDS:
        for dropped in subsets(n):
            fleet = Fleet(n, plan(n, min_sum=min(3, n)))
            group = fleet.run({phase: dropped})
            check(fleet, group)
            needed = (
                codec.min_survivors(n, fleet.config)
                if phase in ("shares", "masked")
                else codec.threshold(n, fleet.config)
            )
            assert (group.state is GroupState.DONE) == (n - len(dropped) >= needed), (
                phase,
                dropped,
            )
            if group.state is GroupState.DONE:
                assert group.result.count == n - (
                    len(dropped) if phase in ("shares", "masked") else 0
                )


def test_p6_devices_that_drop_out_of_several_phases_add_up():
    fleet = Fleet(9, plan(9, min_sum=5))
    group = fleet.run({"shares": {0}, "masked": {4, 8}, "consistency": {1}})
    check(fleet, group)
    assert group.counts() == {"advertised": 9, "shared": 8, "masked": 6, "signed": 5, "unmasked": 5}


@pytest.mark.parametrize("bits", [16, 20, 24, 32])
def test_the_sum_is_exact_for_every_word_size(bits):
    fleet = Fleet(4, plan(4, bits=bits, d=9))
    check(fleet, fleet.run({"masked": {2}}))


def test_p6_the_sum_of_a_subset_of_coordinates_is_exact():
    fleet = Fleet(4, plan(4, d=9, subset_k=5, subset_seed="5a" * 32))
    group = fleet.run({"masked": {2}})
    check(fleet, group)
    assert group.result.words.shape == (5,)


def refused(code, call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    assert raised.value.code == code


def test_a_message_may_be_repeated_but_not_replaced():
    fleet = Fleet(3)
    group = fleet.group()
    bodies = {peer.device_id: fleet.send(group, peer, "shares") for peer in fleet.peers}
    one, other, _ = fleet.peers
    group.receive("shares", one.device_id, bodies[one.device_id])
    refused("ALREADY_CONTRIBUTED", group.receive, "shares", one.device_id, bodies[other.device_id])


def test_p10_no_masked_input_counts_once_the_survivors_are_fixed():
    fleet = Fleet(5)
    group = fleet.group()
    for peer in fleet.peers:
        fleet.send(group, peer, "shares")
    group.advance(0)
    late = fleet.peers[4]
    late.client.accept_shares(group.inbox("shares", late.device_id))
    body = late.client.mask(late.sealed)
    for peer in fleet.peers[:4]:
        fleet.send(group, peer, "masked")
    assert group.inbox("masked", fleet.peers[0].device_id) is None
    assert not group.advance(9)
    assert group.advance(10)
    refused("ROUND_CLOSED", group.receive, "masked", late.device_id, body)
    refused("ROUND_CLOSED", group.inbox, "masked", late.device_id)
    for kind in ("consistency", "unmask"):
        for peer in fleet.peers[:4]:
            fleet.send(group, peer, kind)
        group.advance(10)
    check(fleet, group)
    assert late.device_id not in group.result.devices


@pytest.mark.parametrize("phase", KINDS)
def test_p2_a_device_that_leaves_withdraws_its_input_until_the_survivors_are_fixed(phase):
    fleet = Fleet(6, plan(6, min_sum=3))
    group = fleet.group()
    going = fleet.peers[2]
    for kind in KINDS:
        for peer in fleet.peers:
            if going.client.state.value == "left" and peer is going:
                continue
            fleet.send(group, peer, kind)
            if peer is going and kind == phase and kind != "unmask":
                group.receive("leave", going.device_id, going.client.leave(LeaveReason.WITHDRAWN))
        group.advance(0) or group.advance(group.deadline)
    check(fleet, group)
    assert (going.device_id in group.result.devices) == (phase in ("consistency", "unmask"))


def test_p11_nonsense_is_refused_and_the_group_goes_on():
    fleet = Fleet(4)
    group = fleet.group()
    for body in (b"", b"AEG1", bytes(100), b"\xff" * 1000):
        for kind in (*KINDS, "leave"):
            with pytest.raises(PeerError):
                group.receive(kind, fleet.peers[0].device_id, body)
    refused("NOT_IN_GROUP", group.receive, "shares", "urn:uuid:someone", b"")
    refused("BAD_MESSAGE", group.receive, "advertise", fleet.peers[0].device_id, b"")
    for kind in KINDS:
        for peer in fleet.peers:
            fleet.send(group, peer, kind)
        group.advance(0)
    check(fleet, group)


def play_until(fleet, group, kinds):
    for kind in kinds:
        for peer in fleet.peers:
            fleet.send(group, peer, kind)
        group.advance(0)


def test_a_device_that_returns_a_false_share_is_named_and_skipped():
    fleet = Fleet(5)
    group = fleet.group()
    play_until(fleet, group, KINDS[:3])
    liar = fleet.peers[0]
    body = liar.client.unmask(group.inbox("consistency", liar.device_id))
    context = group.drawn.context
    shares, signature = codec.decode_unmask(body, context, 5)
    shares = [*shares[:3], bytes(33), shares[4]]
    for unsigned, body in (
        (True, codec.encode_unmask(context, shares, signature)),
        (False, returned(group, liar, 0, shares)),
    ):
        refused("SHARE_FALSE", group.receive, "unmask", liar.device_id, body)
        assert group.faults == {liar.device_id: "SHARE_FALSE"}
        assert (group.proofs == {}) is unsigned
    for peer in fleet.peers[1:]:
        fleet.send(group, peer, "unmask")
    group.advance(0)
    check(fleet, group)
    assert group.state is GroupState.DONE


def test_a_dealer_of_a_false_secret_is_named_and_ends_its_own_group_only():
    fleet = Fleet(4)
    group = fleet.group()
    cheat = fleet.peers[1]
    for peer in fleet.peers:
        body = peer.client.shares(group.inbox("advertise", peer.device_id))
        if peer is cheat:
            dealing = codec.decode_dealing(body, group.drawn.context, 1, 4)
            false = replace(dealing, self_digest=bytes(32))
            body = signed_dealing(peer, group.drawn.context, 1, false)
        group.receive("shares", peer.device_id, body)
    group.advance(0)
    play_until(fleet, group, KINDS[1:])
    assert group.state is GroupState.ABORTED
    assert group.failure.at_fault == (cheat.device_id,)
    assert group.proofs[cheat.device_id].verdict == Verdict(cheat.device_id, "SECRET_FALSE")
    assert group.failure.phase is GroupState.OPENING
    check(fleet, group)
    refused("ROUND_CLOSED", group.inbox, "consistency", cheat.device_id)


def test_messages_signed_by_another_device_are_refused():
    fleet = Fleet(4)
    group = fleet.group()
    play_until(fleet, group, KINDS[:1])
    one, other = fleet.peers[:2]
    for peer in fleet.peers:
        peer.client.accept_shares(group.inbox("shares", peer.device_id))
    body = one.client.mask(one.sealed)
    refused("MASKED_SIGNATURE", group.receive, "masked", other.device_id, body)
    for peer in fleet.peers[1:]:
        group.receive("masked", peer.device_id, peer.client.mask(peer.sealed))
    group.receive("masked", one.device_id, body)
    group.advance(0)
    body = one.client.consistency(group.inbox("masked", one.device_id))
    refused("CONSISTENCY_SIGNATURE", group.receive, "consistency", other.device_id, body)


def test_the_beacon_draws_the_groups_and_small_ones_are_left_out():
    fleet = Fleet(40, plan(40, g_max=12, min_sum=3))
    join = fleet.join()
    groups = join.close(0)
    assert len(groups) >= 4
    assert all(3 <= len(group.devices) <= 12 for group in groups)
    assert sorted(
        [name for group in groups for name in group.devices] + list(join.left_out)
    ) == sorted(p.device_id for p in fleet.peers)
    total = np.zeros(8, np.uint32)
    for group in groups:
        members = [peer for peer in fleet.peers if peer.device_id in group.devices]
        for kind in KINDS:
            for peer in members:
                fleet.send(group, peer, kind)
            group.advance(0)
        check(fleet, group)
        total += group.result.words
    assert join.close(5) is groups


def test_p10_replaying_the_same_calls_makes_the_same_group():
    """What a restart of the aggregator relies on: replay of the stored messages."""
    fleet = Fleet(5)
    advertised = [(peer.device_id, peer.client.advertise()) for peer in fleet.peers]

    def fresh():
        join = JoinPhase(fleet.config, fleet.authority.pem, fleet.now)
        for device_id, body in advertised:
            join.advertise(device_id, body)
        return join.close(0)[0]

    group, log = fresh(), []
    for kind in KINDS:
        for peer in fleet.peers[: 4 if kind == "masked" else 5]:
            if kind in ("consistency", "unmask") and peer is fleet.peers[4]:
                continue
            log.append((kind, peer.device_id, fleet.send(group, peer, kind)))
            again = fresh()
            for message in log:
                again.receive(*message) if isinstance(message, tuple) else again.advance(message)
            assert again.state is group.state
            assert again.counts() == group.contributions.counts()
        at = 0 if group.advance(0) else group.deadline
        if at:
            group.advance(at)
        log.append(at)
    again = fresh()
    for message in log:
        again.receive(*message) if isinstance(message, tuple) else again.advance(message)
    assert (
        again.result.words.tolist()
        == group.result.words.tolist()
        == fleet.expected(group.result.devices).tolist()
    )
