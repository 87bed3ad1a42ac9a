"""A device refuses a lying aggregator, shows why, and leaves with the code of the lie (P6)."""

from dataclasses import replace

import pytest

from agent.errors import PeerError
from agent.protocol import codec, envelope
from agent.protocol.states import LeaveReason
from tests.fakes.group_aggregator import serial_of
from tests.fakes.in_process_fleet import device_id, outcomes


async def test_p6_a_revoked_member_ends_the_round_for_every_device_that_knows_of_it(fleet_of_four):
    fleet = fleet_of_four
    await fleet.join()
    await fleet.train_all_but_last()
    fleet.server.revoked.append((serial_of(fleet.devices[0]), fleet.clock.now()))
    results = await fleet.run_cycles()
    assert outcomes(results) == ["ROSTER_REVOKED"] * 4
    assert sorted(set(fleet.server.left)) == sorted(map(device_id, fleet.devices))
    assert all(device.agent.ledger.charges() == [] for device in fleet.devices)
    assert all(device.agent.runner.updates.current is not None for device in fleet.devices)


def without_one(true, who, context):
    """The roster without one of the other devices, and the list that matches."""
    roster = codec.decode_roster(true, context)
    kept = list(roster.members)
    kept.remove(next(one for one in kept if one.device_id != who))
    leaves = tuple(sorted(one.leaf for one in kept))
    return codec.encode_roster(context, replace(roster, members=tuple(kept), leaves=leaves))


def damaged(true, *_):
    """Another payload under a checksum that matches."""
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
    "a key replaced in the roster": ("advertise", damaged, None, False),
    "a share that was tampered with": ("shares", damaged, "SHARE_UNREADABLE", False),
    "too few survivors": ("masked", fewer_survivors, "SURVIVORS", True),
    "too few signatures": ("consistency", one_signature_less, "SIGNATURES", True),
    "garbage": ("masked", lambda *_: b"\0" * 100, "BAD_ENVELOPE", True),
}


@pytest.mark.parametrize("lie", LIES)
async def test_p6_a_device_refuses_a_lie_shows_why_and_leaves_with_its_code(fleet, lie):
    place, change, code, charged = LIES[lie]

    await fleet.join()
    await fleet.train_all_but_last()
    victim = fleet.devices[0]
    name = device_id(victim)
    first = codec.round_context(fleet.server.config)

    def lied(true, who):
        if who != name:
            return true
        context = bytes.fromhex(envelope.decode(true).header["context"])
        return change(true, who, context)

    fleet.server.lies[place] = lied
    error, *_ = await fleet.run_cycles(group_wait_s=20)
    assert isinstance(error, PeerError)
    assert code in (None, error.code)
    assert len(victim.agent.ledger.charges()) == charged
    left = next(
        codec.decode_leave(body, first)
        for who, what, body in fleet.server.bodies
        if (who, what) == (name, "leave")
    )
    assert left is LeaveReason.REFUSED
    # What the dealer signed is readable: nobody but the aggregator has changed it.
    assert "complaint" not in fleet.server.phases_of(name)
    status = await victim.call("status")
    assert status["state"] == "error"
    assert any(error.message in note for note in status["notes"])
    assert victim.agent.runner.updates.current is not None  # it may be sealed again


async def test_p6_a_member_that_deals_garbage_is_proven_guilty_and_its_victims_pay_nothing(fleet):
    await fleet.join()
    await fleet.train_all_but_last()
    liar, *victims = fleet.devices
    name, sign = device_id(liar), liar.agent.keys.identity_file().load().signer.sign
    take = fleet.server.phase

    def garbage(sender, round_id, phase, body):
        if (sender, phase) == (name, "shares"):
            drawn = fleet.server.group_of(name).drawn
            own, size = drawn.numbers[name], drawn.size
            dealing = codec.decode_dealing(body, drawn.context, own, size)
            spoiled = tuple(replace(piece, sealed=bytes(len(piece.sealed))) for piece in dealing.to)
            dealing = replace(dealing, to=spoiled)
            payload = codec.dealing_payload(own, dealing)
            signature = sign(codec.dealing_statement(drawn.context, payload))
            dealing = replace(dealing, signature=signature)
            body = codec.encode_dealing(drawn.context, own, dealing)
        take(sender, round_id, phase, body)

    fleet.server.phase = garbage
    _, *results = await fleet.run_cycles()
    assert outcomes(results) == ["SHARE_UNREADABLE"] * len(victims)
    (group,) = fleet.server.groups
    assert list(group.proofs) == [name]
    for victim in victims:
        assert "complaint" in fleet.server.phases_of(device_id(victim))
        assert victim.agent.ledger.charges() == []
        assert "seal" not in victim.worker.calls
        assert victim.agent.runner.updates.current is not None
