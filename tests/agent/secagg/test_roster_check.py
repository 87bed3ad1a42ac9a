"""A device checks every member of its group and refuses each lie about it."""

import os
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import UniformResourceIdentifier

from agent.errors import PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, witness
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
    members[2] = replace(members[2], **{name: bytes([9]) + bytes(31)})
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


def swapped_list(true):
    return (true[1], true[0], *true[2:])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (swapped_list, "ROSTER_LIST"),
        (lambda true: (*true[:2], *true[1:]), "ROSTER_LIST"),
        (lambda true: true[:1], "ROSTER_LIST"),
        (lambda true: tuple(sorted((*true, b"phantom".ljust(32)))), "ROSTER_GROUP"),
    ],
    ids=["out of order", "one twice", "others only", "a phantom"],
)
def test_p6_a_list_that_does_not_match_the_group_is_refused(change, code):
    lie = LyingAggregator()
    roster = lie.roster()
    own = lie.advertisements()[0].leaf
    leaves = change(roster.leaves)
    if len(leaves) == 1:
        leaves = tuple(one for one in roster.leaves if one != own)
    refused(code, lie, lie.roster_body(replace(roster, leaves=leaves)))
    lie.assert_left_without_secrets()


def test_p6_a_group_that_the_draw_did_not_give_is_refused_and_the_right_one_accepted():
    """The aggregator picks the victims' company: the draw does not allow it."""
    fleet = Fleet(40, plan(40, g_max=12))
    first, second = fleet.join().close(0)[:2]
    context = codec.round_context(fleet.config)
    victims = [peer for peer in fleet.peers if peer.device_id in first.devices]
    rosters = [
        codec.decode_roster(group.inbox("advertise", group.devices[0]), context)
        for group in (first, second)
    ]
    lies = [
        replace(rosters[0], group=1),
        replace(rosters[0], group=39),
        replace(rosters[0], members=rosters[0].members[:-1]),
        replace(rosters[0], members=by_id(*rosters[0].members[:-1], rosters[1].members[0])),
        replace(rosters[0], members=by_id(*rosters[0].members, rosters[1].members[0])),
    ]
    for victim, lie in zip(victims, lies, strict=False):
        roster = lie if own_of(victim, lie) else rosters[0]
        body = codec.encode_roster(context, roster)
        refused("ROSTER_GROUP", None, body, victim.client)
    honest = victims[-1]
    assert honest.client.shares(first.inbox("advertise", honest.device_id))


def by_id(*members):
    return tuple(sorted(members, key=lambda one: one.device_id))


def own_of(peer, roster):
    return any(member.device_id == peer.device_id for member in roster.members)


class Witnesses:
    """A lying aggregator in a task with a witness."""

    def __init__(self):
        self.lie = LyingAggregator(config=plan(5, witness="authority"))
        self.roster = self.lie.roster()

    def refuse(self, witnessed, roster=None):
        body = self.lie.roster_body(replace(roster or self.roster, witnessed=witnessed))
        refused("ROSTER_WITNESS", self.lie, body)
        self.lie.assert_left_without_secrets()

    def signed(self, authority=None, **changes):
        request = witness.draw_request(
            self.lie.fleet.config, self.lie.round_context, self.roster.draw
        )
        return (authority or self.lie.fleet.authority).witness(replace(request, **changes))


@pytest.mark.parametrize(
    "change",
    [
        {"round_id": 8},
        {"task_id": "other"},
        {"advertised": 6},
        {"leaves": bytes(32)},
        {"context": bytes(32)},
    ],
)
def test_p6_a_witness_of_another_draw_is_refused(change):
    case = Witnesses()
    case.refuse(case.signed(**change))


def test_p6_without_the_witness_of_the_task_a_draw_is_refused():
    Witnesses().refuse(witness.Witnessed())
    case = Witnesses()
    case.refuse(case.signed(TestAuthority()))
    case = Witnesses()
    case.refuse(replace(case.roster.witnessed, seed=bytes(32)))


def test_p6_a_witness_that_the_task_does_not_know_is_refused():
    """Its seed would be the aggregator's choice."""
    lie = LyingAggregator()
    seeded = replace(lie.roster(), witnessed=witness.Witnessed(bytes(32), bytes(64)))
    refused("ROSTER_WITNESS", lie, lie.roster_body(seeded))


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


LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
"""The encodings that make no secret, and the same points in other forms."""
OTHER_FORMS = ["09" + "00" * 30 + "80", "f6" + "ff" * 30 + "7f", "ff" * 31 + "7f"]


@pytest.mark.parametrize("name", ["sealing_key", "masking_key"])
@pytest.mark.parametrize("key", LOW_ORDER + OTHER_FORMS)
def test_a_key_of_small_order_or_in_a_second_form_is_refused(key, name):
    lie = LyingAggregator()
    cheat = lie.fleet.peers[3]
    members = lie.advertisements()
    weak = replace(members[3], **{name: bytes.fromhex(key)})
    members[3] = replace(weak, signature=cheat.sign(weak.statement(lie.round_context)))
    refused("ROSTER_KEY", lie, lie.roster_of(members))
    lie.assert_left_without_secrets()
