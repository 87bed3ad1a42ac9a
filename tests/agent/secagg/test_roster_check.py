"""A device checks every member of its group and refuses each lie about it."""

import os
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import UniformResourceIdentifier

from agent.errors import PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec
from agent.secagg.client import SecaggClient
from tests.fakes.ca import TestAuthority
from tests.fakes.secagg import Fleet, LyingAggregator, plan, signer


def refused(code, lie, body, client=None):
    with pytest.raises(PeerError) as raised:
        (client or lie.client).shares(body)
    assert raised.value.code == code
    assert raised.value.message.endswith(".")


def test_p6_a_group_below_this_devices_own_minimum_is_refused():
    lie = LyingAggregator(limits=DeviceLimits(min_group=6, min_sum=2, gamma_milli=0))
    refused("ROSTER_SIZE", lie, lie.inbox("advertise"))
    lie.assert_left_without_secrets()


def test_p6_a_group_larger_than_the_round_allows_is_refused():
    lie = LyingAggregator(config=plan(5, g_max=5))
    extra = codec.decode_advertisement(lie.fleet.peer(5).client.advertise(), lie.round_context)
    refused("ROSTER_SIZE", lie, lie.roster_of([*lie.advertisements(), extra]))


@pytest.mark.parametrize("order", ["swapped", "twice"])
def test_a_roster_out_of_order_or_with_one_member_twice_is_refused(order):
    lie = LyingAggregator()
    members = lie.advertisements()
    if order == "swapped":
        members = [members[1], members[0], *members[2:]]
    else:
        members = [*members[:4], members[3]]
    refused("ROSTER_ORDER", lie, lie.roster_of(members))
    lie.assert_left_without_secrets()


@pytest.mark.parametrize("name", ["sealing_key", "masking_key", "nonce", "signature"])
def test_a_changed_entry_of_this_device_is_refused(name):
    lie = LyingAggregator()
    members = lie.advertisements()
    members[0] = replace(members[0], **{name: bytes(reversed(getattr(members[0], name)))})
    refused("ROSTER_SELF", lie, lie.roster_of(members))


def test_a_roster_without_this_device_is_refused():
    lie = LyingAggregator()
    refused("ROSTER_SELF", lie, lie.roster_of(lie.advertisements()[1:]))


@pytest.mark.parametrize("name", ["sealing_key", "masking_key"])
def test_a_members_key_replaced_on_the_way_is_refused(name):
    lie = LyingAggregator()
    members = lie.advertisements()
    members[2] = replace(members[2], **{name: os.urandom(32)})
    refused("ROSTER_SIGNATURE", lie, lie.roster_of(members))
    lie.assert_left_without_secrets()


def test_one_key_under_two_names_is_refused():
    lie = LyingAggregator()
    members = lie.advertisements()
    members[2] = replace(members[2], masking_key=members[3].masking_key)
    refused("ROSTER_DUPLICATE", lie, lie.roster_of(members))


def test_one_certified_key_under_two_names_is_refused():
    """The authority certified one key twice: one device would count as two."""
    lie = LyingAggregator()
    key = ec.generate_private_key(ec.SECP256R1())
    members = lie.advertisements()
    for place in (3, 4):
        device_id = members[place].device_id
        certificate = lie.fleet.authority.issue(
            key.public_key(), [UniformResourceIdentifier(device_id)]
        )
        twin = SecaggClient(
            lie.fleet.config,
            device_id,
            certificate,
            lie.fleet.authority.pem,
            signer(key),
            limits=lie.fleet.limits,
            entropy=os.urandom,
            now=lie.fleet.now,
        )
        members[place] = codec.decode_advertisement(twin.advertise(), lie.round_context)
    refused("ROSTER_DUPLICATE", lie, lie.roster_of(members))


def test_a_device_certified_by_another_authority_is_refused():
    lie = LyingAggregator()
    forged = lie.fleet.peer(2, authority=TestAuthority()).client
    members = lie.advertisements()
    members[2] = codec.decode_advertisement(forged.advertise(), lie.round_context)
    refused("ROSTER_CERTIFICATE", lie, lie.roster_of(members))
    lie.assert_left_without_secrets()


def test_the_certificate_of_another_device_is_refused():
    lie = LyingAggregator()
    members = lie.advertisements()
    members[2] = replace(members[2], certificate=members[3].certificate)
    refused("ROSTER_CERTIFICATE", lie, lie.roster_of(members))


def test_a_certificate_that_is_not_valid_now_is_refused():
    lie = LyingAggregator()
    late = lie.fleet.peer(0, now=lie.fleet.now + 30 * 24 * 3600).client
    members = lie.advertisements()
    members[0] = codec.decode_advertisement(late.advertise(), lie.round_context)
    refused("ROSTER_CERTIFICATE", lie, lie.roster_of(members), late)


def test_a_revoked_certificate_is_refused():
    lie = LyingAggregator()
    members = lie.advertisements()
    serial = x509.load_der_x509_certificate(members[3].certificate).serial_number
    informed = lie.fleet.peer(0, revoked=frozenset({serial})).client
    members[0] = codec.decode_advertisement(informed.advertise(), lie.round_context)
    refused("ROSTER_REVOKED", lie, lie.roster_of(members), informed)


def test_a_group_that_the_beacon_did_not_draw_is_refused():
    """The aggregator picks the victim's company: the draw does not allow it."""
    lie = LyingAggregator()
    refused("ROSTER_GROUP", lie, lie.roster_body(lie.roster(groups=2, group=0)))


@pytest.mark.parametrize("change", [{"beacon": bytes(32)}, {"advertised": 6}])
def test_a_beacon_that_leaves_a_device_out_is_refused(change):
    lie = LyingAggregator()
    refused("ROSTER_GROUP", lie, lie.roster_body(lie.roster(**change)))


def test_a_wrong_proof_of_the_draw_is_refused_and_the_right_one_accepted():
    fleet = Fleet(40, plan(40, g_max=12))
    group = fleet.join().close(0)[0]
    context = codec.round_context(fleet.config)
    victims = [peer for peer in fleet.peers if peer.device_id in group.devices]
    for victim, siblings in (
        (victims[0], lambda true: true[1:]),
        (victims[1], lambda true: (bytes(32), *true[1:])),
    ):
        roster = codec.decode_roster(group.inbox("advertise", victim.device_id), context)
        last = roster.members[-1]
        lied = replace(last, siblings=siblings(last.siblings))
        body = codec.encode_roster(context, replace(roster, members=(*roster.members[:-1], lied)))
        refused("ROSTER_GROUP", None, body, victim.client)
    honest = victims[2]
    assert honest.client.shares(group.inbox("advertise", honest.device_id))


@pytest.mark.parametrize(
    "change",
    [{"round_id": 6}, {"model_digest": "cd" * 32}, {"model_version": 2}, {"noise_var": 10**6}],
)
def test_a_roster_of_another_round_model_or_configuration_is_refused(change):
    """Devices that get different statements have different contexts, and their messages differ."""
    lie = LyingAggregator()
    other = codec.round_context(replace(lie.fleet.config, **change))
    assert other != lie.round_context
    refused("WRONG_CONTEXT", lie, codec.encode_roster(other, lie.roster()))
    lie.assert_left_without_secrets()


def test_a_key_of_small_order_is_refused():
    lie = LyingAggregator()
    cheat = lie.fleet.peers[3]
    members = lie.advertisements()
    weak = replace(members[3], sealing_key=bytes(32))
    members[3] = replace(weak, signature=cheat.sign(weak.statement(lie.round_context)))
    refused("ROSTER_KEY", lie, lie.roster_of(members))
    lie.assert_left_without_secrets()
