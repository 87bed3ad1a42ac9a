"""What a server states counts only under its signature, with every field, and for what was sent."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import AegisError
from agent.protocol.messages import Mode, Task
from agent.protocol.signing import Context, public_hex, sign
from agent.transport import statements
from agent.transport.responses import HttpResponse

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = public_hex(KEY)
CA_PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
TASK = Task("t", "pehdr29/fixed-v1", "logistic", 4, Mode.LOCAL, 10, 100, 1000, 1)
BODY = b"an update"
OFFER = {
    "status": "wait",
    "next_poll_s": 1800,
    "task": TASK.to_json(),
    "model_version": 3,
    "model_digest": "ab" * 32,
    "round": None,
    "contributed": False,
    "time": 1_700_000_000,
    "join_opens": 0,
    "join_closes": 0,
}
RECEIPT = {
    "task_id": "t",
    "round_id": 7,
    "device_id": "urn:uuid:1",
    "body_sha256": hashlib.sha256(BODY).hexdigest(),
    "bytes": len(BODY),
    "received_at": 1_700_000_000,
}
REGISTRATION = {
    "device_id": "urn:uuid:1",
    "certificate_pem": "PEM",
    "ca_pem": CA_PEM,
    "erase_secret": "5e" * 16,
    "task": TASK.to_json(),
    "signing_key": SIGNER,
}


def response(value, **headers):
    return HttpResponse(200, headers, json.dumps(value).encode())


def offer(value=OFFER, context=Context.OFFER, **outer):
    signature = sign(KEY, context, value)
    return response({"offer": value, "signature": signature, "crl_pem": "list", **outer})


def receipt(value=RECEIPT, context=Context.RECEIPT):
    return response({"receipt": value, "signature": sign(KEY, context, value)})


def refusal(call, *arguments):
    with pytest.raises(AegisError) as raised:
        call(*arguments)
    return raised.value.code


def test_an_offer_is_read_with_its_task_and_the_list_beside_it():
    found = statements.read_offer(offer(), SIGNER)
    assert (found.task, found.model_version, found.crl_pem) == (TASK, 3, "list")
    assert found.round is None


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (offer(context=Context.RECEIPT), "BAD_SIGNATURE"),
        (offer(signature="00" * 64), "BAD_SIGNATURE"),
        (offer({**OFFER, "status": "maybe"}), "BAD_ANSWER"),
        (offer({**OFFER, "next_poll_s": -1}), "BAD_ANSWER"),
        (offer({**OFFER, "next_poll_s": True}), "BAD_ANSWER"),
        (offer({**OFFER, "more": 1}), "BAD_ANSWER"),
        (offer({**OFFER, "task": {}}), "BAD_MESSAGE"),
        (offer({**OFFER, "round": {}}), "BAD_MESSAGE"),
        (offer(more=1), "BAD_ANSWER"),
        (response({}), "BAD_ANSWER"),
        (response([]), "BAD_ANSWER"),
    ],
)
def test_p11_another_offer_is_refused(made, code):
    assert refusal(statements.read_offer, made, SIGNER) == code


def test_p8_an_offer_by_another_key_is_refused():
    other = public_hex(Ed25519PrivateKey.generate())
    assert refusal(statements.read_offer, offer(), other) == "BAD_SIGNATURE"


@pytest.mark.parametrize("device_id", ["urn:uuid:1", None])
def test_a_receipt_is_for_the_bytes_that_were_sent(device_id):
    found = statements.read_receipt(receipt(), SIGNER, BODY, device_id)
    assert (found.round_id, found.body_sha256) == (7, RECEIPT["body_sha256"])
    assert found.signature == sign(KEY, Context.RECEIPT, RECEIPT)


@pytest.mark.parametrize(
    ("made", "body", "device_id", "code"),
    [
        (receipt(), b"another", "urn:uuid:1", "BAD_ANSWER"),
        (receipt(), BODY, "urn:uuid:2", "BAD_ANSWER"),
        (receipt({**RECEIPT, "bytes": 1}), BODY, None, "BAD_ANSWER"),
        (receipt({**RECEIPT, "round_id": "7"}), BODY, None, "BAD_ANSWER"),
        (receipt(context=Context.OFFER), BODY, None, "BAD_SIGNATURE"),
    ],
)
def test_p11_a_receipt_for_something_else_is_refused(made, body, device_id, code):
    assert refusal(statements.read_receipt, made, SIGNER, body, device_id) == code


@pytest.mark.parametrize("signing_key", [SIGNER, ""])
def test_a_registration_fits_the_invitation(signing_key):
    spaced = {**REGISTRATION, "ca_pem": CA_PEM.replace("\n", "\r\n")}
    for value in (REGISTRATION, spaced):
        found = statements.read_registration(response(value), CA_PEM, signing_key)
        assert (found.device_id, found.task) == ("urn:uuid:1", TASK)


@pytest.mark.parametrize(
    "change",
    [{"ca_pem": "another"}, {"signing_key": "ab" * 32}, {"device_id": 1}, {"more": ""}],
    ids=str,
)
def test_p3_a_registration_that_contradicts_the_invitation_is_refused(change):
    made = response({**REGISTRATION, **change})
    assert refusal(statements.read_registration, made, CA_PEM, SIGNER) == "BAD_ANSWER"


def test_a_renewal_comes_from_the_same_authority():
    made = response({"certificate_pem": "PEM", "ca_pem": CA_PEM})
    assert statements.read_renewal(made, CA_PEM) == "PEM"
    assert refusal(statements.read_renewal, made, "another") == "BAD_ANSWER"


def test_a_model_carries_its_metadata_in_its_headers():
    encoded = base64.urlsafe_b64encode(b'{"version":3}').decode()
    headers = {"X-Model-Metadata": encoded, "X-Model-Signature": "00"}
    found = statements.read_model(HttpResponse(200, headers, b"weights"))
    assert (found.metadata, found.signature, found.model) == (b'{"version":3}', "00", b"weights")
    for name in headers:
        left = {key: value for key, value in headers.items() if key != name}
        assert refusal(statements.read_model, HttpResponse(200, left, b"")) == "BAD_ANSWER"
    broken = {**headers, "X-Model-Metadata": "x"}
    assert refusal(statements.read_model, HttpResponse(200, broken, b"")) == "BAD_ANSWER"
