"""A signature is worth something for one purpose, one value and one key."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import AegisError
from agent.protocol.signing import Context, public_hex, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VALUE = {"round": 7, "text": "ε"}
GOOD = sign(KEY, Context.OFFER, VALUE)


def refused(public, context, value, signature):
    with pytest.raises(AegisError) as raised:
        verify(public, context, value, signature)
    return raised.value.code


def test_a_signature_is_over_the_label_and_the_canonical_form():
    message = b'aegisai/offer/1\0{"round":7,"text":"\xce\xb5"}'
    KEY.public_key().verify(bytes.fromhex(GOOD), message)
    assert verify(public_hex(KEY), Context.OFFER, dict(reversed(VALUE.items())), GOOD) is None
    assert public_hex(KEY) == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


@pytest.mark.parametrize(
    "context", [context for context in Context if context is not Context.OFFER]
)
def test_it_is_worth_nothing_for_another_purpose(context):
    assert refused(public_hex(KEY), context, VALUE, GOOD) == "BAD_SIGNATURE"


@pytest.mark.parametrize("value", [{**VALUE, "round": 8}, {**VALUE, "more": 1}, [VALUE], {}, None])
def test_nor_for_another_value(value):
    assert refused(public_hex(KEY), Context.OFFER, value, GOOD) == "BAD_SIGNATURE"


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        ("ab" * 32, GOOD),
        ("", GOOD),
        ("no hex", GOOD),
        (public_hex(KEY), ""),
        (public_hex(KEY), GOOD[:-2]),
        (public_hex(KEY), GOOD + "00"),
        (public_hex(KEY), "zz" * 64),
        (public_hex(KEY), "00" * 64),
    ],
)
def test_p11_another_key_or_a_damaged_signature_is_refused(public, signature):
    assert refused(public, Context.OFFER, VALUE, signature) == "BAD_SIGNATURE"


def test_p11_a_value_that_cannot_be_signed_is_refused_on_both_sides():
    with pytest.raises(TypeError):
        sign(KEY, Context.OFFER, 0.5)
    assert refused(public_hex(KEY), Context.OFFER, 0.5, GOOD) == "BAD_SIGNATURE"


def test_the_purposes_have_different_labels():
    assert len({context.value for context in Context}) == len(Context)
