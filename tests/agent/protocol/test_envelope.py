"""An envelope is read only when it is whole, canonical and unaltered, and reading costs no more
than its size.
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.protocol import envelope
from agent.protocol.canonical import canonical
from agent.protocol.limits import MAX_HEADER_BYTES

HEADERS = st.dictionaries(
    st.text("abcdef_", min_size=1, max_size=6).filter(lambda name: name != "payload_sha256"),
    st.integers() | st.text("xyz", max_size=5) | st.lists(st.integers(), max_size=3),
    max_size=5,
)
GOOD = envelope.encode({"kind": "test", "round": 7}, b"payload")


def raw(head, payload=b"", magic=b"AEG1", length=None):
    return magic + (len(head) if length is None else length).to_bytes(4, "big") + head + payload


def sealed(header, payload=b""):
    """A header that carries the right digest, in whatever form `header` writes it."""
    return header.replace(b"DIGEST", hashlib.sha256(payload).hexdigest().encode())


def read_or_code(body):
    try:
        return envelope.decode(body)
    except AegisError as error:
        return error.code


@given(HEADERS, st.binary(max_size=200))
def test_what_was_put_in_comes_out(header, payload):
    assert envelope.decode(envelope.encode(header, payload)) == envelope.Envelope(header, payload)


def test_the_layout_is_fixed():
    digest = hashlib.sha256(b"xy").hexdigest()
    head = f'{{"a":1,"payload_sha256":"{digest}"}}'.encode()
    assert envelope.encode({"a": 1}, b"xy") == b"AEG1" + len(head).to_bytes(4, "big") + head + b"xy"


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_p11_a_flipped_byte_is_refused_or_gives_another_header_in_its_only_form(at, difference):
    altered = bytes([*GOOD[:at], GOOD[at] ^ difference, *GOOD[at + 1 :]])
    outcome = read_or_code(altered)
    if outcome != "BAD_ENVELOPE":
        assert outcome.header != {"kind": "test", "round": 7}
        assert (outcome.payload, envelope.encode(outcome.header, outcome.payload)) == (
            b"payload",
            altered,
        )


@given(st.integers(0, len(GOOD) - 1))
def test_p11_a_cut_anywhere_is_refused(at):
    assert read_or_code(GOOD[:at]) == "BAD_ENVELOPE"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (raw(canonical({"payload_sha256": "0" * 64}), magic=b"AEG2"), "magic"),
        (b"AEG1\0\0", "header length"),
        (raw(b"{}", length=MAX_HEADER_BYTES + 1) + bytes(MAX_HEADER_BYTES), "header length"),
        (raw(b"{}", length=2**32 - 1), "header length"),
        (raw(sealed(b'{"payload_sha256":"DIGEST","a":1}')), "canonical"),
        (raw(sealed(b'{"a":1, "payload_sha256":"DIGEST"}')), "canonical"),
        (raw(sealed(b'{"a":1,"a":1,"payload_sha256":"DIGEST"}')), "canonical"),
        (raw(sealed(b'{"a":1.0,"payload_sha256":"DIGEST"}')), "canonical"),
        (raw(sealed(b'{"a":NaN,"payload_sha256":"DIGEST"}')), "canonical"),
        (raw(sealed(b'{"a":"\\ud800","payload_sha256":"DIGEST"}')), "canonical"),
        (raw(b"[]"), "canonical"),
        (raw(b"[" * 60_000), "canonical"),
        (raw(b'{"a":1}'), "digest"),
    ],
    ids=[
        "version",
        "too short",
        "header too long",
        "header beyond the end",
        "keys out of order",
        "space",
        "key twice",
        "float",
        "not a number",
        "half a character",
        "list",
        "nested",
        "no digest",
    ],
)
def test_p11_another_form_of_the_same_values_is_refused(body, detail):
    with pytest.raises(AegisError) as raised:
        envelope.decode(body)
    assert raised.value.code == "BAD_ENVELOPE"
    assert detail in raised.value.detail


def test_p11_the_size_is_looked_at_first():
    assert envelope.decode(GOOD, max_bytes=len(GOOD)).payload == b"payload"
    with pytest.raises(AegisError, match="could not be read") as raised:
        envelope.decode(GOOD, max_bytes=len(GOOD) - 1)
    assert "at most" in raised.value.detail
