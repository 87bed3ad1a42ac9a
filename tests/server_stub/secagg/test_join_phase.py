"""The join window accepts a device's own fresh keys once, and nothing else."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificate

from agent.errors import PeerError
from agent.protocol import codec
from agent.protocol.states import LeaveReason
from server_stub.secagg.join_phase import JoinPhase
from tests.fakes.ca import TestAuthority
from tests.fakes.secagg import Fleet


def refused(code, call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    assert raised.value.code == code


def test_too_few_advertisements_make_no_group():
    fleet = Fleet(3)
    join = fleet.join(fleet.peers[:2])
    assert join.close(0) == []
    assert len(join.left_out) == 2
    refused(
        "ROUND_CLOSED", join.advertise, fleet.peers[2].device_id, fleet.peers[2].client.advertise()
    )


def test_the_join_window_checks_who_advertises():
    fleet = Fleet(3)
    join = fleet.join(fleet.peers[:2])
    body = fleet.peers[2].client.advertise()
    refused("ROSTER_SIGNATURE", join.advertise, "urn:uuid:other", body)
    join.advertise(fleet.peers[2].device_id, body)
    join.advertise(fleet.peers[2].device_id, body)
    twin = fleet.peer(2)
    refused("ALREADY_CONTRIBUTED", join.advertise, twin.device_id, twin.client.advertise())
    join.leave(fleet.peers[2].device_id, fleet.peers[2].client.leave(LeaveReason.PAUSED))
    assert join.size == 2


def test_a_device_that_was_dropped_may_advertise_other_keys():
    fleet = Fleet(3)
    join = fleet.join()
    device = fleet.peers[1]
    join.drop(device.device_id)
    assert device.device_id not in join.devices
    join.advertise(device.device_id, fleet.peer(1).client.advertise())
    assert device.device_id in join.devices


def test_keys_that_another_device_advertised_are_refused():
    fleet = Fleet(3)
    join = JoinPhase(fleet.config, fleet.authority.pem, fleet.now)
    context = codec.round_context(fleet.config)
    body = fleet.peers[0].client.advertise()
    join.advertise(fleet.peers[0].device_id, body)
    taken = codec.decode_advertisement(body, context)
    thief = fleet.peers[2]
    own = codec.decode_advertisement(thief.client.advertise(), context)
    for keys in (
        {"sealing_key": own.sealing_key, "masking_key": own.sealing_key},
        {"sealing_key": taken.masking_key, "masking_key": own.masking_key},
    ):
        unsigned = codec.Advertisement(
            thief.device_id, own.nonce, **keys, signature=b"", certificate=own.certificate
        )
        signature = thief.sign(unsigned.statement(context))
        forged = codec.Advertisement(
            thief.device_id, own.nonce, **keys, signature=signature, certificate=own.certificate
        )
        refused(
            "ROSTER_DUPLICATE",
            join.advertise,
            thief.device_id,
            codec.encode_advertisement(context, forged),
        )
    assert join.size == 1


def advertised(fleet, number, **changes):
    """The message of a device that advertises other keys than its own, and signs them."""
    device, context = fleet.peers[number], codec.round_context(fleet.config)
    own = codec.decode_advertisement(device.client.advertise(), context)
    changed = replace(own, **changes)
    signature = device.sign(changed.statement(context))
    return codec.encode_advertisement(context, replace(changed, signature=signature))


@pytest.mark.parametrize("name", ["sealing_key", "masking_key"])
@pytest.mark.parametrize(
    "key",
    [bytes(32), (1).to_bytes(32, "little"), (2).to_bytes(32, "little"), b"\xff" * 32],
    ids=["small order", "order four", "off the curve", "another form"],
)
def test_a_key_for_which_the_whole_group_would_leave_is_refused_at_the_window(name, key):
    fleet = Fleet(3)
    join = JoinPhase(fleet.config, fleet.authority.pem, fleet.now)
    device_id = fleet.peers[1].device_id
    refused("ROSTER_KEY", join.advertise, device_id, advertised(fleet, 1, **{name: key}))
    assert join.size == 0


def test_one_certified_key_under_two_names_is_refused_at_the_window():
    """Every member would refuse a roster with both."""
    fleet = Fleet(3)
    key = ec.generate_private_key(ec.SECP256R1())
    join = JoinPhase(fleet.config, fleet.authority.pem, fleet.now)
    for number, expected in ((7, None), (8, "ROSTER_DUPLICATE")):
        twin = fleet.peer(number, key=key)
        body = twin.client.advertise()
        if expected:
            refused(expected, join.advertise, twin.device_id, body)
        else:
            join.advertise(twin.device_id, body)
    join.drop(fleet.peer(7, key=key).device_id)
    join.advertise(twin.device_id, body)
    assert join.devices == {twin.device_id}


def test_revoked_expired_and_foreign_certificates_are_refused():
    fleet = Fleet(3)
    device = fleet.peers[0]
    body = device.client.advertise()
    serial = load_pem_x509_certificate(device.certificate.encode()).serial_number
    revoked = JoinPhase(fleet.config, fleet.authority.pem, fleet.now, frozenset({serial}))
    refused("ROSTER_REVOKED", revoked.advertise, device.device_id, body)
    in_ten_years = JoinPhase(fleet.config, fleet.authority.pem, fleet.now + 10 * 365 * 86_400)
    refused("ROSTER_CERTIFICATE", in_ten_years.advertise, device.device_id, body)
    other = JoinPhase(fleet.config, TestAuthority().pem, fleet.now)
    refused("ROSTER_CERTIFICATE", other.advertise, device.device_id, body)
