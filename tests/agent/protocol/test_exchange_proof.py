"""A proof shows the secret of two keys, whatever the owner of either key tries."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol.exchange_proof import PROOF_BYTES, is_usable, prove, proven_secret

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
SECRETS = st.binary(min_size=32, max_size=32)
SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
]
"""The points of small order on the curve (RFC 7748 §7 asks to think of them)."""


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def exchanged(private, peer):
    return X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(peer)
    )


@given(own=SECRETS, peer=SECRETS, context=st.binary(max_size=40))
@settings(max_examples=25, deadline=None)
def test_the_proven_secret_is_the_exchanged_one(own, peer, context):
    proof = prove(own, public(peer), context, os.urandom)
    assert len(proof) == PROOF_BYTES
    secret = proven_secret(public(own), public(peer), proof, context)
    assert secret == exchanged(own, public(peer)) == exchanged(peer, public(own))


def refused(*arguments):
    with pytest.raises(ValueError, match=r"expected|proof"):
        proven_secret(*arguments)


@given(own=SECRETS, peer=SECRETS, place=st.integers(0, 8 * PROOF_BYTES - 1))
@settings(max_examples=25, deadline=None)
def test_a_changed_proof_is_refused(own, peer, place):
    proof = bytearray(prove(own, public(peer), b"", os.urandom))
    proof[place // 8] ^= 1 << place % 8
    refused(public(own), public(peer), bytes(proof), b"")


def test_a_proof_is_good_for_its_keys_and_its_context_only():
    own, peer, other = (os.urandom(32) for _ in range(3))
    proof = prove(own, public(peer), b"here", os.urandom)
    refused(public(own), public(peer), proof, b"there")
    refused(public(other), public(peer), proof, b"here")
    refused(public(own), public(other), proof, b"here")
    refused(public(peer), public(own), proof, b"here")
    for size in (0, PROOF_BYTES - 1, PROOF_BYTES + 1):
        refused(public(own), public(peer), (proof + b"0")[:size], b"here")


def test_numbers_beyond_the_order_are_refused():
    own, peer = os.urandom(32), os.urandom(32)
    proof = prove(own, public(peer), b"", os.urandom)
    for at in (32, 64):
        number = int.from_bytes(proof[at : at + 32], "little") + ORDER
        beyond = proof[:at] + number.to_bytes(32, "little") + proof[at + 32 :]
        refused(public(own), public(peer), beyond, b"")
    refused(public(own), public(peer), P.to_bytes(32, "little") + proof[32:], b"")


def test_a_point_of_small_order_in_the_secret_is_refused():
    """With it the accuser could claim another secret than the dealer used."""
    own, peer = os.urandom(32), os.urandom(32)
    proof = prove(own, public(peer), b"", os.urandom)
    # Adding the point of order 2 maps (x, y) to (-x, -y).
    number = int.from_bytes(proof[:32], "little")
    y, is_odd = number & (1 << 255) - 1, number >> 255
    moved = (P - y) | (1 - is_odd) << 255
    refused(public(own), public(peer), moved.to_bytes(32, "little") + proof[32:], b"")
    neutral = (1).to_bytes(32, "little")
    refused(public(own), public(peer), neutral + proof[32:], b"")


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_keys_of_small_order_are_not_usable(key):
    small = bytes.fromhex(key)
    assert not is_usable(small)
    with pytest.raises(ValueError, match="usable"):
        prove(os.urandom(32), small, b"", os.urandom)
    with pytest.raises(ValueError, match=r"."):
        exchanged(os.urandom(32), small)  # why they are refused


def test_keys_in_another_form_or_off_the_curve_are_not_usable():
    key = public(os.urandom(32))
    assert is_usable(key)
    assert not is_usable(key[:31])
    assert not is_usable(key[:31] + bytes([key[31] | 128]))
    assert not is_usable((P + 9).to_bytes(32, "little"))
    on_the_curve = [is_usable(u.to_bytes(32, "little")) for u in range(2, 200)]
    assert 60 < sum(on_the_curve) < 140  # about half; the others are on its twist
    assert is_usable((9).to_bytes(32, "little"))


def test_the_proof_shows_nothing_of_the_private_key_in_plain():
    own, peer = os.urandom(32), os.urandom(32)
    one, other = (prove(own, public(peer), b"", os.urandom) for _ in range(2))
    assert one[:32] == other[:32]
    assert one[32:] != other[32:]
    assert own not in one + other
