"""A round follows from its events alone, so replaying them makes the same round."""

import datetime
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import UniformResourceIdentifier

from agent.errors import PeerError
from agent.protocol.states import LeaveReason
from agent.secagg.client import SecaggClient
from server_stub.errors import BusyError
from server_stub.rounds.event_log import ReplayableRound, opening
from server_stub.rounds.join_window import Invited
from tests.fakes.secagg import KINDS, Fleet, plan, signer


def replayed(fleet, events):
    return ReplayableRound(fleet.config, fleet.authority.pem, events)


def fleet_of(n):
    fleet = Fleet(n)
    fleet.config = replace(plan(n), opens_at=fleet.now - 10, closes_at=fleet.now + 300)
    fleet.peers = [fleet.peer(number) for number in range(n)]
    return fleet


def next_message(live, kind, peer):
    client = peer.client
    if kind == "shares":
        return client.shares(live.inbox("advertise", peer.device_id))
    if kind == "masked":
        client.accept_shares(live.inbox("shares", peer.device_id))
        return client.mask(peer.sealed)
    if kind == "consistency":
        return client.consistency(live.inbox("masked", peer.device_id))
    return client.unmask(live.inbox("consistency", peer.device_id))


def test_p10_a_round_that_is_replayed_after_every_event_is_the_same_round():
    fleet = fleet_of(4)
    kept = [opening("", 4, Invited(frozenset({"urn:uuid:gone"})), fleet.now - 3600)]
    live = replayed(fleet, kept)

    def keep(events):
        nonlocal live
        kept.extend(events)
        again = replayed(fleet, kept)
        assert (again.devices, again.is_over, again.record()) == (
            live.devices,
            live.is_over,
            live.record(),
        )
        live = again  # go on with the replayed one: nothing of the first is needed

    for peer in fleet.peers:
        keep(live.receive("advertise", peer.device_id, peer.client.advertise(), fleet.now))
    keep(live.close(fleet.now, fleet.authority.witness))
    for kind in KINDS:
        for peer in fleet.peers:
            if peer is fleet.peers[3] and kind in KINDS[2:]:
                continue
            body = next_message(live, kind, peer)
            keep(live.receive(kind, peer.device_id, body, fleet.now))
            assert live.receive(kind, peer.device_id, body, fleet.now) == []
            if kind == "masked" and peer is fleet.peers[3]:
                events = live.receive(
                    "leave", peer.device_id, peer.client.leave(LeaveReason.WITHDRAWN), fleet.now
                )
                assert live.is_input_open(peer.device_id)
                kept[:] = [
                    replace(one, body=None)
                    if (one.kind, one.device_id) == ("masked", peer.device_id)
                    else one
                    for one in kept
                ]
                keep(events)
                with pytest.raises(PeerError, match="left"):
                    live.receive("masked", peer.device_id, body, fleet.now)
            keep(live.advance(fleet.now))
    ((_, opened),) = live.sums()
    assert opened.count == 3
    assert (
        opened.words.tolist()
        == fleet.expected([peer.device_id for peer in fleet.peers[:3]]).tolist()
    )
    assert live.record()["groups"][0]["dropped"]["masked"] == 1


def test_a_device_that_enrolled_after_the_announcement_may_join_the_window():
    fleet = fleet_of(3)
    live = replayed(fleet, [opening("", 4, Invited(frozenset()), fleet.now - 3600)])
    key, device_id = (
        ec.generate_private_key(ec.SECP256R1()),
        "urn:uuid:00000000-0000-4000-8000-00000000abcd",
    )
    certificate = fleet.authority.issue(
        key.public_key(),
        [UniformResourceIdentifier(device_id)],
        start=datetime.timedelta(minutes=-1),
    )
    facts = {"limits": fleet.limits, "entropy": os.urandom, "now": fleet.now}
    client = SecaggClient(
        fleet.config, device_id, certificate, fleet.authority.pem, signer(key), **facts
    )
    (event,) = live.receive("advertise", device_id, client.advertise(), fleet.now)
    assert (event.kind, live.devices) == ("advertise", {device_id})


def test_a_message_at_the_wrong_time_or_from_an_unknown_device_leaves_no_event():
    fleet = fleet_of(3)
    live = replayed(fleet, [opening("", 3, Invited(frozenset()), fleet.now)])

    def refused(call, *values):
        with pytest.raises(PeerError) as raised:
            call(*values)
        return raised.value.code

    one = fleet.peers[0]
    body = one.client.advertise()
    assert refused(live.receive, "shares", one.device_id, body, 0) == "NOT_IN_GROUP"
    assert refused(live.inbox, "advertise", one.device_id) == "NOT_IN_GROUP"
    live.receive("advertise", one.device_id, body, 0)
    assert live.inbox("advertise", one.device_id) is None
    assert (live.is_full, live.drop("urn:uuid:nobody", 0)) == (False, [])
    live.close(0, fleet.authority.witness)
    assert (live.is_over, live.left_out, live.sums()) == (True, (one.device_id,), [])
    assert refused(live.receive, "shares", one.device_id, body, 0) == "ROUND_CLOSED"
    assert refused(live.inbox, "advertise", one.device_id) == "ROUND_CLOSED"
    assert live.receive("leave", one.device_id, one.client.leave(LeaveReason.PAUSED), 0) == []
    assert (
        refused(
            live.receive,
            "advertise",
            fleet.peers[1].device_id,
            fleet.peers[1].client.advertise(),
            0,
        )
        == "ROUND_CLOSED"
    )


class Witness:
    """The authority as a round meets it; `error` is what it answers instead of signing."""

    def __init__(self, fleet, error=None):
        self.fleet, self.error, self.asked = fleet, error, []

    def __call__(self, request):
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return self.fleet.authority.witness(request)


def joined(n, advertise):
    fleet = fleet_of(n)
    fleet.config = replace(fleet.config, witness="authority")
    fleet.peers = [fleet.peer(number) for number in range(n)]
    kept = [opening("", n, Invited(frozenset()), fleet.now)]
    live = replayed(fleet, kept)
    for peer in fleet.peers[:advertise]:
        kept += live.receive("advertise", peer.device_id, peer.client.advertise(), fleet.now)
    return fleet, kept, live


def test_p10_the_witness_is_asked_once_and_a_replay_comes_to_the_same_groups():
    fleet, kept, live = joined(4, 4)
    witness = Witness(fleet)
    kept += live.close(fleet.now, witness)
    again = replayed(fleet, kept)
    device_id = fleet.peers[0].device_id
    assert len(witness.asked) == 1
    assert again.inbox("advertise", device_id) == live.inbox("advertise", device_id)
    assert fleet.peers[0].client.shares(again.inbox("advertise", device_id))


def test_a_round_that_the_witness_refuses_has_no_group():
    fleet, kept, live = joined(4, 4)
    refusal = PeerError("WITNESS_REFUSED", "Another draw.", "")
    kept += live.close(fleet.now, Witness(fleet, refusal))
    for one in (live, replayed(fleet, kept)):
        assert (one.groups, one.is_over, len(one.left_out)) == ([], True, 4)


def test_a_window_stays_open_while_the_witness_is_away():
    fleet, _, live = joined(4, 4)
    with pytest.raises(BusyError):
        live.close(fleet.now, Witness(fleet, BusyError("CA_UNREACHABLE", "Away.", 10)))
    assert live.groups is None
    assert live.close(fleet.now, Witness(fleet))[0].kind == "close"


def test_the_witness_is_not_asked_where_too_few_devices_advertised():
    fleet, _, live = joined(4, 2)
    witness = Witness(fleet)
    live.close(fleet.now, witness)
    assert (witness.asked, live.groups, len(live.left_out)) == ([], [], 2)
