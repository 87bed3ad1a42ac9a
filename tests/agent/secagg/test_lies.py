"""Whole agents and a lying aggregator: the device refuses, says why, and leaves by the code of the
lie.
"""

from dataclasses import replace

import pytest

from agent.errors import AegisError, PeerError
from agent.protocol import codec, envelope, merkle
from tests.fakes.group_aggregator import LIMITS
from tests.fakes.in_process_fleet import device_id, outcomes


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"min_group": 2}, "GROUP_TOO_SMALL"),
        ({"min_sum": 1}, "SUM_TOO_SMALL"),
        ({"noise_var": 8}, "NOISE_TOO_SMALL"),
        ({"phase_s": 3600}, "PHASE_TOO_LONG"),
        ({"mode": "local", "protocol": "LocalUpdate/1"}, "ROUND_MODE"),
        ({"model_digest": "ff" * 32}, "OFFER_INCONSISTENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_p3_an_offer_that_breaks_the_devices_bounds_is_refused_and_said(fleet, change, code):
    from agent.protocol.messages import Mode

    await fleet.join()
    device = fleet.devices[0]
    changed = {name: Mode(value) if name == "mode" else value for name, value in change.items()}
    bad = replace(fleet.server.config, **changed)
    now = fleet.clock.now()
    fleet.server.lies["offer"] = lambda made, _: replace(
        made, round=bad, join_opens=now, join_closes=now + 20
    )
    with pytest.raises(PeerError) as raised:
        await device.run_cycle()
    assert raised.value.code == code
    assert device.worker.calls == []
    assert fleet.server.said() == []
    status = await device.call("status")
    assert status["state"] == "error"
    assert any(raised.value.message in note for note in status["notes"])


@pytest.mark.parametrize("stale", ["", "other authority", "expired", "older"])
async def test_p3_without_a_current_list_of_revoked_certificates_no_group_is_joined(fleet, stale):
    from server_stub.ca.certificates import revocation_list
    from tests.fakes.ca import TestAuthority

    await fleet.join()
    await fleet.all_ready()
    device, now = fleet.devices[0], fleet.clock.now()
    fleet.devices = fleet.devices[:1]
    fleet.server.expected = 1
    authority = fleet.server.authority
    if stale == "older":
        device.agent.enrolment_client.revoked(
            revocation_list(authority.certificate, authority.key, 9, [], now)
        )
    other = TestAuthority()
    lists = {
        "": "",
        "other authority": revocation_list(other.certificate, other.key, 5, [], now),
        "expired": revocation_list(
            authority.certificate, authority.key, 5, [], now - 3 * 24 * 3600
        ),
        "older": revocation_list(authority.certificate, authority.key, 5, [], now),
    }
    fleet.server.lies["offer"] = lambda made, _: replace(made, crl_pem=lists[stale])
    (error,) = await fleet.meet()
    assert isinstance(error, AegisError)
    assert error.code == {"expired": "REVOCATIONS_EXPIRED", "older": "REVOCATIONS_OLDER"}.get(
        stale, "REVOCATIONS_BAD"
    )
    assert fleet.server.said() == []
    assert device.agent.ledger.charges() == []


async def test_p6_a_revoked_member_ends_the_meeting_for_who_knows_of_it(fleet_of_four):
    from tests.fakes.group_aggregator import serial_of

    fleet = fleet_of_four

    await fleet.join()
    await fleet.all_ready()
    fleet.server.revoked.append((serial_of(fleet.devices[0]), fleet.clock.now()))
    results = await fleet.meet()
    assert outcomes(results) == ["ROSTER_REVOKED"] * 4
    assert sorted(set(fleet.server.left)) == sorted(map(device_id, fleet.devices))
    assert all(device.agent.ledger.charges() == [] for device in fleet.devices)
    assert all(device.agent.runner.updates.current is not None for device in fleet.devices)


def without_one(true, who, context):
    """The roster without one of the others, with a beacon that fits."""
    roster = codec.decode_roster(true, context)
    kept = [member.advertisement for member in roster.members]
    kept.remove(next(one for one in kept if one.device_id != who))
    leaves = [merkle.leaf(one.device_id, one.nonce) for one in kept]
    members = tuple(codec.Member(one, at, ()) for at, one in enumerate(kept))
    return codec.encode_roster(
        context, replace(roster, members=members, advertised=len(kept), beacon=merkle.root(leaves))
    )


def damaged(true, *_):
    """Another payload under a checksum that fits."""
    read = envelope.decode(true)
    return envelope.encode(read.header, read.payload[:-1] + bytes([read.payload[-1] ^ 1]))


def fewer_survivors(true, who, context):
    return codec.encode_survivors(context, [0])


def one_signature_less(true, who, context):
    signatures = codec.decode_signatures(true, context, 3)
    return codec.encode_signatures(
        context, {number: signatures[number] for number in sorted(signatures)[:-1]}
    )


LIES = {
    "a roster that is too small": ("advertise", without_one, "ROSTER_SIZE", False),
    "a key exchanged in the roster": ("advertise", damaged, None, False),
    "a share that was tampered with": ("shares", damaged, "SHARE_UNREADABLE", False),
    "too few survivors": ("masked", fewer_survivors, "SURVIVORS", True),
    "too few signatures": ("consistency", one_signature_less, "SIGNATURES", True),
    "garbage": ("masked", lambda *_: b"\0" * 100, "BAD_ENVELOPE", True),
}


@pytest.mark.parametrize("lie", LIES)
async def test_p6_a_device_that_is_lied_to_refuses_says_why_and_leaves_by_the_code(fleet, lie):
    place, change, code, charged = LIES[lie]

    await fleet.join()
    await fleet.all_ready()
    victim = fleet.devices[0]
    name = device_id(victim)
    first = codec.round_context(fleet.server.config)

    def lied(true, who):
        if who != name:
            return true
        context = bytes.fromhex(envelope.decode(true).header["context"])
        return change(true, who, context)

    fleet.server.lies[place] = lied
    error, *_ = await fleet.meet(group_wait_s=20)
    assert isinstance(error, PeerError)
    assert code in (None, error.code)
    assert len(victim.agent.ledger.charges()) == charged
    left = next(
        codec.decode_leave(body, first)
        for who, what, body in fleet.server.bodies
        if (who, what) == (name, "leave")
    )
    assert left[0] == error.code
    assert len(left[1]) == (code == "SHARE_UNREADABLE")  # the dealer who is blamed
    status = await victim.call("status")
    assert status["state"] == "error"
    assert any(error.message in note for note in status["notes"])
    assert victim.agent.runner.updates.current is not None  # for one re-seal


async def test_a_round_that_is_older_than_one_already_met_is_refused(fleet):
    await fleet.join()
    assert outcomes(await fleet.meet()) == ["sent"] * 3
    first = fleet.server.config
    fleet.server.next_round()
    fleet.server.next_round()
    assert outcomes(await fleet.meet()) == ["sent"] * 3
    fleet.server.next_round()
    old = replace(fleet.server.config, round_id=first.round_id)
    now = fleet.clock.now()
    fleet.server.lies["offer"] = lambda made, _: replace(
        made, round=old, join_opens=now, join_closes=now + 20
    )
    assert outcomes(await fleet.meet()) == ["ROUND_OLDER"] * 3


async def test_p3_a_device_hides_among_its_own_minimum_whatever_the_round_says(fleet_of_four):
    """The limits of a device may be above the round's: then the offer itself is refused."""
    fleet = fleet_of_four

    await fleet.join()
    fleet.devices[0].overrides["limits"] = lambda: replace(LIMITS, min_group=4)
    fleet.devices[0].restart()
    assert outcomes(await fleet.meet(group_wait_s=20))[0] == "GROUP_TOO_SMALL"
    assert fleet.devices[0].agent.ledger.charges() == []
