"""What the server states is read strictly, and only under the right signature."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import PeerError
from agent.privacy.plan import RoundIdentity, plan_local
from agent.protocol.messages import Mode, Task
from agent.protocol.signing import Context, public_hex, sign
from agent.transport.responses import HttpResponse
from agent.transport.statements import (
    read_model,
    read_offer,
    read_receipt,
    read_registration,
    read_renewal,
)

DEVICE_ID = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
CA_PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TASK = Task("t", "pehdr29/fixed-v1", "logistic", 4, Mode.LOCAL, 10, 100, 1000, 1)
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
    "ledger": None,
}
REGISTRATION = {
    "device_id": DEVICE_ID,
    "certificate_pem": "the certificate",
    "ca_pem": CA_PEM,
    "erase_secret": "5e" * 16,
    "task": TASK.to_json(),
    "signing_key": public_hex(KEY),
}
BODY = bytes(range(256)) * 10
RECEIPT = {
    "task_id": "t",
    "round_id": 1,
    "device_id": DEVICE_ID,
    "body_sha256": hashlib.sha256(BODY).hexdigest(),
    "bytes": len(BODY),
    "received_at": 1_700_000_000,
    "ledger_count": 0,
    "ledger_head": "",
}


def response(value, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return HttpResponse(200, headers, body)


def signed_offer(offer, *, key=KEY, context=Context.OFFER, crl_pem=""):
    return response({"offer": offer, "signature": sign(key, context, offer), "crl_pem": crl_pem})


def signed_receipt(receipt, *, key=KEY, context=Context.RECEIPT):
    return response({"receipt": receipt, "signature": sign(key, context, receipt)})


def code_of(call, *arguments):
    with pytest.raises(PeerError) as raised:
        call(*arguments)
    return raised.value.code


# Offers


def test_an_offer_is_read_with_its_task_and_its_list_of_revoked_certificates():
    offer = read_offer(signed_offer(OFFER, crl_pem="a list"), public_hex(KEY))
    assert (offer.status, offer.task, offer.round, offer.model_version) == ("wait", TASK, None, 3)
    assert (offer.crl_pem, offer.time, offer.next_poll_s) == ("a list", 1_700_000_000, 1800)


def test_an_offer_of_a_round_carries_its_configuration_and_join_window():
    config = plan_local(
        TASK,
        RoundIdentity(5, 3, "ab" * 32, opens_at=0, closes_at=1000, rotation_seed="cd" * 32),
        rho_units_per_round=2**36,
    )
    stated = {**OFFER, "round": config.to_json(), "join_opens": 5, "join_closes": 9}
    offer = read_offer(signed_offer(stated), public_hex(KEY))
    assert (offer.round, offer.join_opens, offer.join_closes) == (config, 5, 9)


@pytest.mark.parametrize(
    "forged",
    [
        signed_offer(OFFER, key=OTHER_KEY),
        signed_offer(OFFER, context=Context.RECEIPT),
        response(
            {
                "offer": {**OFFER, "model_version": 4},
                "signature": sign(KEY, Context.OFFER, OFFER),
                "crl_pem": "",
            }
        ),
        response({"offer": OFFER, "signature": "", "crl_pem": ""}),
    ],
    ids=["by another key", "as a receipt", "changed afterwards", "unsigned"],
)
def test_an_offer_under_the_wrong_signature_is_refused(forged):
    assert code_of(read_offer, forged, public_hex(KEY)) == "BAD_SIGNATURE"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "maybe"},
        {"next_poll_s": -1},
        {"next_poll_s": True},
        {"round": {}},
        {"round": []},
        {"task": None},
        {"task": {}},
        {"more": 1},
        {"join_opens": "5"},
        {"join_opens": 10**12, "join_closes": 10**12 + 60},
        {"time": 10**30},
        {"time": -1},
        {"contributed": 1},
    ],
    ids=str,
)
def test_p11_a_signed_offer_outside_the_contract_is_refused(change):
    stated = signed_offer({**OFFER, **change})
    assert code_of(read_offer, stated, public_hex(KEY)) in {"BAD_ANSWER", "BAD_MESSAGE"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"offer": 1, "signature": 2}', b'{"offer": {}, "signature": ""}']
)
def test_p11_nonsense_instead_of_an_offer_is_a_bad_answer(body):
    assert code_of(read_offer, response(body), public_hex(KEY)) == "BAD_ANSWER"


# Receipts


def test_a_receipt_for_the_body_that_was_sent_is_read():
    receipt = read_receipt(signed_receipt(RECEIPT), public_hex(KEY), BODY, DEVICE_ID)
    assert (receipt.bytes, receipt.round_id, receipt.received_at) == (2560, 1, 1_700_000_000)
    assert receipt.signature == sign(KEY, Context.RECEIPT, RECEIPT)


def test_a_receipt_is_read_after_the_client_forgot_its_identity():
    assert read_receipt(signed_receipt(RECEIPT), public_hex(KEY), BODY, None).bytes == 2560


@pytest.mark.parametrize(
    "change",
    [
        {"body_sha256": "00" * 32},
        {"device_id": DEVICE_ID + "2"},
        {"bytes": 1},
        {"round_id": "1"},
        {"more": 1},
    ],
    ids=str,
)
def test_p11_a_receipt_for_another_update_or_outside_the_contract_is_refused(change):
    stated = signed_receipt({**RECEIPT, **change})
    assert code_of(read_receipt, stated, public_hex(KEY), BODY, DEVICE_ID) == "BAD_ANSWER"


@pytest.mark.parametrize(
    "options",
    [{"key": OTHER_KEY}, {"context": Context.OFFER}],
    ids=["by another key", "as an offer"],
)
def test_a_receipt_under_the_wrong_signature_is_refused(options):
    stated = signed_receipt(RECEIPT, **options)
    assert code_of(read_receipt, stated, public_hex(KEY), BODY, DEVICE_ID) == "BAD_SIGNATURE"


# Registration and renewal


def test_a_registration_that_matches_the_invitation_is_read():
    registration = read_registration(response(REGISTRATION), CA_PEM, public_hex(KEY))
    assert (registration.device_id, registration.task) == (DEVICE_ID, TASK)


def test_an_invitation_without_a_signing_key_takes_the_servers():
    assert read_registration(response(REGISTRATION), CA_PEM, "").signing_key == public_hex(KEY)


def test_white_space_makes_no_other_authority():
    assert read_registration(response(REGISTRATION), CA_PEM.replace("\n", "\r\n"), "")


@pytest.mark.parametrize(
    "change",
    [
        {"ca_pem": "another"},
        {"signing_key": "00" * 32},
        {"device_id": 5},
        {"more": 1},
        {"task": {}},
        {"erase_secret": None},
    ],
    ids=str,
)
def test_a_registration_that_does_not_match_the_invitation_is_refused(change):
    stated = response({**REGISTRATION, **change})
    code = code_of(read_registration, stated, CA_PEM, public_hex(KEY))
    assert code in {"BAD_ANSWER", "BAD_MESSAGE"}


def test_a_renewed_certificate_comes_from_the_same_authority():
    stated = {"certificate_pem": "the next one", "ca_pem": CA_PEM}
    assert read_renewal(response(stated), CA_PEM) == "the next one"
    assert code_of(read_renewal, response({**stated, "ca_pem": "another"}), CA_PEM) == "BAD_ANSWER"
    assert code_of(read_renewal, response({"ca_pem": CA_PEM}), CA_PEM) == "BAD_ANSWER"


# Models


def test_a_model_is_read_with_the_metadata_of_its_headers():
    headers = {
        "X-Model-Metadata": base64.urlsafe_b64encode(b'{"version":3}').decode(),
        "X-Model-Signature": "cd",
    }
    download = read_model(response(b"weights", **headers))
    assert (download.metadata, download.signature, download.model) == (
        b'{"version":3}',
        "cd",
        b"weights",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Model-Metadata": "e30="},
        {"X-Model-Signature": "cd"},
        {"X-Model-Metadata": "e30", "X-Model-Signature": "cd"},
    ],
    ids=str,
)
def test_a_model_without_readable_headers_is_a_bad_answer(headers):
    assert code_of(read_model, response(b"weights", **headers)) == "BAD_ANSWER"
