"""Each message has frozen bytes, decodes to its value, and is refused when anything is wrong."""

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest

from agent.errors import PeerError
from agent.protocol import codec, envelope
from agent.protocol.keys import pair_key, self_key, self_secret_digest
from agent.protocol.masking import apply
from agent.protocol.messages import Mode, RoundConfig
from agent.protocol.states import LeaveReason
from agent.protocol.witness import Witnessed

CONFIG = RoundConfig(
    protocol="GroupSecAgg/2",
    task_id="t",
    round_id=7,
    mode=Mode.SECAGG,
    model_version=1,
    model_digest="ab" * 32,
    d=4,
    d_padded=4,
    bits=24,
    clip_num=1,
    clip_den=1,
    grid_num=1,
    grid_den=10,
    sensitivity_sq=114,
    noise_var=100,
    g_max=10,
    min_group=3,
    min_sum=3,
    colluders=1,
    rotation_seed="cd" * 32,
    subset_seed="",
    subset_k=0,
    opens_at=0,
    closes_at=1000,
    phase_s=10,
)
CONTEXT = bytes(range(32))


def fill(byte, size):
    return bytes([byte]) * size


def advertisement(number):
    return codec.Advertisement(
        f"urn:uuid:{number}",
        *(fill(16 * number + part, 32) for part in range(3)),
        fill(number, 64),
        b"DER",
    )


ROSTER = codec.Roster(
    1,
    tuple(fill(n, 32) for n in range(5)),
    Witnessed(fill(9, 32), fill(8, 64)),
    tuple(advertisement(n) for n in range(3)),
)
PIECE = codec.SealedShares(fill(1, codec.SEALED_SHARES_BYTES), fill(2, 32), fill(3, 32))
OWN = replace(PIECE, sealed=b"")
DEALING = codec.Dealing(fill(7, 32), (PIECE, OWN, PIECE), fill(8, 64))
COMPLAINT = codec.Complaint(
    tuple(codec.Accusation(dealer, fill(dealer, 32), fill(9, 96)) for dealer in (0, 2)), fill(6, 64)
)
AGREEMENT = codec.Agreement(fill(1, 32), fill(2, 32), fill(4, 64))
HEADER = {
    "kind": "sealed-words",
    "task_id": "t",
    "round_id": 7,
    "config_digest": CONFIG.digest,
    "attempt": "00",
    "d": 4,
    "bits": 24,
}

MESSAGES = {
    "advertise": (
        codec.encode_advertisement(CONTEXT, advertisement(1)),
        lambda b: codec.decode_advertisement(b, CONTEXT),
        advertisement(1),
    ),
    "roster": (
        codec.encode_roster(CONTEXT, ROSTER),
        lambda b: codec.decode_roster(b, CONTEXT),
        ROSTER,
    ),
    "shares": (
        codec.encode_dealing(CONTEXT, 1, DEALING),
        lambda b: codec.decode_dealing(b, CONTEXT, 1, 3),
        DEALING,
    ),
    "inbox": (
        codec.encode_inbox(
            CONTEXT,
            1,
            {0: DEALING, 1: DEALING, 2: replace(DEALING, to=(PIECE, PIECE, PIECE))}
            | {0: replace(DEALING, to=(OWN, PIECE, PIECE))},
        ),
        lambda b: codec.decode_inbox(b, CONTEXT, 1, 3),
        (frozenset({0, 1, 2}), {0: PIECE, 2: PIECE}),
    ),
    "complaint": (
        codec.encode_complaint(CONTEXT, COMPLAINT),
        lambda b: codec.decode_complaint(b, CONTEXT, 1, 3),
        COMPLAINT,
    ),
    "masked": (
        codec.encode_masked(CONTEXT, HEADER, bytes(12), fill(5, 64)),
        lambda b: (
            codec.decode_masked(b, CONTEXT, CONFIG).words,
            codec.decode_masked(b, CONTEXT, CONFIG).signature,
        ),
        (bytes(12), fill(5, 64)),
    ),
    "survivors": (
        codec.encode_survivors(CONTEXT, {2, 0}),
        lambda b: codec.decode_survivors(b, CONTEXT, 3),
        frozenset({0, 2}),
    ),
    "consistency": (
        codec.encode_consistency(CONTEXT, AGREEMENT),
        lambda b: codec.decode_consistency(b, CONTEXT),
        AGREEMENT,
    ),
    "signatures": (
        codec.encode_signatures(CONTEXT, {2: fill(2, 64), 0: fill(1, 64)}),
        lambda b: codec.decode_signatures(b, CONTEXT, 3),
        {0: fill(1, 64), 2: fill(2, 64)},
    ),
    "unmask": (
        codec.encode_unmask(CONTEXT, [fill(1, 33), fill(2, 33)], fill(3, 64)),
        lambda b: codec.decode_unmask(b, CONTEXT, 2),
        ((fill(1, 33), fill(2, 33)), fill(3, 64)),
    ),
    "leave": (
        codec.encode_leave(CONTEXT, LeaveReason.PAUSED),
        lambda b: codec.decode_leave(b, CONTEXT),
        LeaveReason.PAUSED,
    ),
}
FROZEN = {
    "advertise": "e5a3dbd1581814557dfb718e16fb9222",
    "roster": "66659690460ce30a864fafc5b6a7b5b8",
    "shares": "ec88ba8dbd9a2fd39b0a8dae6108c0f6",
    "inbox": "468cb16bfe3247ece7c4baeb83f0574f",
    "complaint": "cf61ad0be58d92133526942b8b8ce1c6",
    "masked": "2a58520a758a88af65e563a31a308178",
    "survivors": "159344f21d0f6bb3b8bcb470a32bfcbd",
    "consistency": "7be14b2da9ef4dc99aa342ff0b088436",
    "signatures": "06c8bb127b385301f64278efede77ab3",
    "unmask": "fccb8421cb6bef3a5726dfdde049d412",
    "leave": "54536bd5660564f05846066389fa58c7",
    "round context": "a3908838cca0d357fb834983d5047ab4",
    "group context": "e06e800ee2f746d2db83cb6f1d270a7a",
    "set": "f969e31cfffa26c8e606c212e26950be",
    "statement advertise": "4bffb13f38684284e79d13dd3ee69185",
    "statement masked": "1141640edc14184d61958be13180148f",
    "statement survivors": "fcc443afafbb25d9b5deee35897e0e23",
    "statement shares": "4ba2d4eb4f0733d2797eddc13c55db51",
    "statement complaint": "990c89af7d36a2e49979738b8dce0f6c",
    "statement unmask": "979b3becc2647f84638b64865c24c152",
    "accusation": "9ce5cc60f5b602dc7474605b2f5f74d9",
    "pair key": "3fe726f397163004a1f1dd080d107e69",
    "self key": "d8bfb9aedadafef60020d4a5b2b7e925",
    "self digest": "70a870b730b6a5d02377abdc429d84e8",
    "mask": "1ca08dd43004519103bf7aea70bb0719",
}


def sha(content):
    return hashlib.sha256(content).hexdigest()[:32]


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_decodes_to_its_value(name):
    body, decode, value = MESSAGES[name]
    assert decode(body) == value


@pytest.mark.parametrize("name", MESSAGES)
def test_the_bytes_are_frozen(name):
    """A change here is a new version of the protocol."""
    assert sha(MESSAGES[name][0]) == FROZEN[name]


def test_contexts_labels_keys_and_masks_are_frozen():
    assert {name: sha(value) for name, value in derived().items()} == {
        name: FROZEN[name] for name in derived()
    }


def derived():
    words = np.arange(5, dtype=np.uint32)
    apply(words, [fill(1, 32)], [fill(2, 32)])
    return {
        "round context": codec.round_context(CONFIG),
        "group context": codec.group_context(CONTEXT, ROSTER),
        "set": codec.set_digest({3, 1}),
        "statement advertise": advertisement(1).statement(CONTEXT),
        "statement masked": codec.masked_statement(CONTEXT, frozenset({0, 1}), b"words"),
        "statement survivors": codec.agreement(frozenset({0, 1}), frozenset({0})).statement(
            CONTEXT
        ),
        "statement shares": codec.dealing_statement(CONTEXT, codec.dealing_payload(1, DEALING)),
        "statement complaint": codec.complaint_statement(CONTEXT, COMPLAINT),
        "statement unmask": codec.unmask_statement(
            CONTEXT, AGREEMENT, [fill(1, 32)], [fill(2, 32)]
        ),
        "accusation": codec.accusation_context(CONTEXT, 2, 1),
        "pair key": pair_key(bytes(32), CONTEXT, 2, 1, "ab" * 32, "cd" * 32),
        "self key": self_key(bytes(32), CONTEXT, 2),
        "self digest": self_secret_digest(CONTEXT, bytes(32)),
        "mask": words.astype("<u4").tobytes(),
    }


def test_a_piece_of_a_vector_gets_the_masks_of_its_position():
    whole, keys = np.arange(40_000, dtype=np.uint32), ([fill(1, 32), fill(3, 32)], [fill(2, 32)])
    pieces = whole.copy()
    apply(whole, *keys)
    for first, end in ((0, 8), (8, 20_000), (20_000, 40_000)):
        apply(pieces[first:end], *keys, first)
    assert pieces.tolist() == whole.tolist()


def test_masks_cancel_between_two_devices_and_are_long_streams():
    words = np.arange(100_000, dtype=np.uint32)
    apply(words, [fill(1, 32)], [fill(2, 32)])
    assert abs(np.corrcoef(words, np.arange(100_000))[0, 1]) < 0.02
    apply(words, [fill(2, 32)], [fill(1, 32)])
    assert words.tolist() == list(range(100_000))
    assert pair_key(bytes(32), CONTEXT, 1, 2, "ab" * 32, "cd" * 32) == pair_key(
        bytes(32), CONTEXT, 2, 1, "ab" * 32, "cd" * 32
    )


@pytest.mark.parametrize("name", MESSAGES)
def test_p11_another_context_kind_or_length_is_refused(name):
    body, decode, _ = MESSAGES[name]
    read = envelope.decode(body)
    payload, header = read.payload, read.header
    if name == "masked":
        wrong = [
            ({**header, "kind": "shares"}, payload),
            ({**header, "context": "00" * 32}, payload),
            ({**header, "d": 5}, payload),
        ]
    else:
        wrong = [
            ({**header, "context": "00" * 32}, payload),
            ({**header, "kind": "nothing"}, payload),
            ({**header, "more": 1}, payload),
            (header, payload + b"\0"),
            (header, payload[:-1] if payload else b"\0"),
        ]
    for head, content in wrong:
        with pytest.raises(PeerError):
            decode(envelope.encode(head, content))


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("roster", "size", [0, 4, -1, "3", True, 10**9]),
        ("roster", "group", [5, -1]),
        ("roster", "advertised", [0, 4, 6, 2**40]),
        ("roster", "seed", ["", "zz" * 32, 5, "AB" * 32]),
        ("roster", "witness", ["", "00"]),
        ("inbox", "dealers", [[2, 1], [1, 1], [3], [-1, 0], [True], "01", [0, 1, 2, 3]]),
        ("survivors", "survivors", [[2, 0], None, [0.0]]),
        ("signatures", "signers", [[0], [0, 1, 2]]),
        ("leave", "reason", [5, "x" * 65]),
        ("shares", "signature", ["00", 5]),
        ("complaint", "signature", ["00", "zz" * 64]),
        ("unmask", "signature", ["00", None]),
        ("masked", "signature", ["00", "zz" * 64]),
    ],
)
def test_p11_fields_out_of_range_are_refused(name, field, values):
    body, decode, _ = MESSAGES[name]
    read = envelope.decode(body)
    for value in values:
        try:
            changed = envelope.encode({**read.header, field: value}, read.payload)
        except TypeError:
            continue
        with pytest.raises(PeerError):
            decode(changed)


def test_p11_random_damage_is_refused_or_harmless():
    """A flipped bit anywhere raises nothing but a PeerError. It goes unseen only in a header's
    text, such as a signature that the receiver checks later.
    """
    draw, unseen = random.Random(5), 0
    for body, decode, _ in MESSAGES.values():
        for _ in range(200):
            spoiled = bytearray(body)
            spoiled[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
            try:
                decode(bytes(spoiled))
            except PeerError:
                continue
            unseen += 1
            assert envelope.decode(bytes(spoiled)).payload == envelope.decode(body).payload
    assert unseen < 200


@pytest.mark.parametrize("accused", [[1], [3], [2, 0], [0, 0], []])
def test_p11_a_complaint_names_other_members_once_and_in_order(accused):
    accusations = tuple(codec.Accusation(dealer, bytes(32), bytes(96)) for dealer in accused)
    body = codec.encode_complaint(CONTEXT, codec.Complaint(accusations, fill(6, 64)))
    with pytest.raises(PeerError):
        codec.decode_complaint(body, CONTEXT, 1, 3)


def test_a_signature_over_a_wrong_length_can_be_checked_without_the_content():
    words = bytes(7)
    assert codec.masked_statement(CONTEXT, frozenset({0}), words) == codec.masked_statement_of(
        CONTEXT, codec.set_digest({0}), hashlib.sha256(words).digest(), 7
    )
    payload = codec.dealing_payload(1, DEALING)
    assert len(payload) == codec.dealing_bytes(3)
    assert codec.dealing_statement(CONTEXT, payload) == codec.dealing_statement_of(
        CONTEXT, hashlib.sha256(payload).digest(), len(payload)
    )


@pytest.mark.parametrize(
    ("size", "colluders", "expected"),
    [(32, 6, 20), (32, 12, 23), (64, 12, 39), (100, 20, 61), (100, 33, 67), (3, 0, 2)],
)
def test_p6_the_threshold_is_above_half_of_group_and_colluders(size, colluders, expected):
    """2t > n + c with the c of the price, also in a group smaller than the largest."""
    for g_max in (size, 2 * size):
        config = replace(CONFIG, g_max=g_max, colluders=colluders)
        assert codec.threshold(size, config) == expected
        assert 2 * expected > size + colluders


@pytest.mark.parametrize("reason", ["", "PAUSED", "OUT_OF_MEMORY", "quit ", 5, None, ["quit"]])
def test_p11_a_leave_says_one_of_six_things_and_nothing_else(reason):
    header = {"kind": "leave", "context": CONTEXT.hex(), "reason": reason}
    body = envelope.encode(header, b"")
    with pytest.raises(PeerError) as refused:
        codec.decode_leave(body, CONTEXT)
    assert refused.value.code == "BAD_MESSAGE"


@pytest.mark.parametrize("reason", LeaveReason)
def test_each_reason_to_leave_survives(reason):
    assert codec.decode_leave(codec.encode_leave(CONTEXT, reason), CONTEXT) is reason
