"""A signed request is valid as sent and in no other form. An independent library agrees."""

import base64
import time
import types

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver
from http_message_signatures.algorithms import ECDSA_P256_SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import PeerError
from agent.identity.signer import SoftwareSigner
from agent.protocol.http_signature import (
    COMPONENTS,
    TAG,
    SignatureParameters,
    SignedBy,
    sign_request,
    verify_request,
)

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
REQUEST = {
    "method": "POST",
    "authority": "Localhost:8443",
    "path": "/api/v1/updates?x=1",
    "body": b"payload",
}


def signed(key=KEY, **changes):
    request = {**REQUEST, **changes}
    headers = sign_request(
        request["method"],
        request["authority"],
        request["path"],
        "application/json",
        request["body"],
        SignatureParameters(DEVICE, "abc-DEF_1.2", int(time.time())),
        SoftwareSigner(key).sign,
    )
    return {name.lower(): value for name, value in headers.items()}


def check(headers, **changes):
    request = {**REQUEST, **changes}
    return verify_request(
        request["method"],
        request["authority"],
        request["path"],
        headers,
        request["body"],
        {DEVICE: KEY.public_key()}.get,
    )


def test_a_request_as_sent_is_accepted():
    assert check(signed()) == SignedBy(DEVICE, "abc-DEF_1.2")
    assert check(signed(authority="h:443"), authority="H") == SignedBy(DEVICE, "abc-DEF_1.2")


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"authority": "elsewhere:8443"},
        {"path": "/api/v1/device"},
        {"path": "/api/v1/updates"},
        {"body": b"Payload"},
    ],
)
def test_a_request_altered_in_transit_is_refused(change):
    with pytest.raises(PeerError) as raised:
        check(signed(), **change)
    assert raised.value.code == "BAD_REQUEST_SIGNATURE"


def replaced(name, old, new):
    headers = signed()
    assert old in headers[name]
    return {**headers, name: headers[name].replace(old, new)}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        replaced("signature-input", "abc-DEF", "abc-DEG"),
        replaced("signature-input", "0001", "0002"),
        replaced("signature-input", "created=", "created=1"),
        replaced("signature-input", '"content-digest"', '"content-type"'),
        replaced("signature-input", '"@method" ', ""),
        replaced("signature-input", TAG, "other"),
        replaced("signature-input", "ecdsa-p256-sha256", "hmac-sha256"),
        replaced("signature-input", "aegis=", "sig1="),
        {**signed(), "signature-input": signed()["signature-input"] * 2},
        {**signed(), "content-type": "text/plain"},
        {**signed(), "signature": f"aegis=:{base64.b64encode(bytes(64)).decode()}:"},
        {**signed(), "signature": "aegis=:AAAA:"},
        {**signed(), "signature": "x" * 100_000},
        {**signed(), "content-digest": signed(body=b"other")["content-digest"]},
        signed(OTHER),
    ],
)
def test_a_request_with_an_altered_header_is_refused(headers):
    with pytest.raises(PeerError) as raised:
        check(headers)
    assert raised.value.code == "BAD_REQUEST_SIGNATURE"


class Keys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        assert key_id == DEVICE
        return KEY.public_key()


@settings(max_examples=30, deadline=None)
@given(body=st.binary(min_size=1, max_size=500), number=st.integers(0, 2**53))
def test_an_independent_library_accepts_the_same_bytes(body, number):
    path = f"/api/v1/rounds/{number}/shares"
    headers = signed(body=body, path=path)
    message = types.SimpleNamespace(
        method="POST", url=f"https://localhost:8443{path}", headers=headers
    )
    verifier = HTTPMessageVerifier(signature_algorithm=ECDSA_P256_SHA256, key_resolver=Keys())
    (result,) = verifier.verify(message, expect_tag=TAG, require_components=COMPONENTS, body=body)
    assert check(headers, body=body, path=path).nonce == result.nonce
