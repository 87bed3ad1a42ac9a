"""Only the authority's certificate for this key, this device and this use is accepted."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509 import UniformResourceIdentifier, load_pem_x509_csr
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import PeerError, UserActionError
from agent.identity.device_certificate import (
    check_certificate,
    csr_pem,
    fingerprint,
    load_key,
    new_key_pem,
)
from tests.fakes.ca import TestAuthority

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
KEY_PEM = new_key_pem()
CSR = csr_pem(KEY_PEM)
AUTHORITY = TestAuthority()
GOOD = AUTHORITY.issue_device(CSR, DEVICE)


def test_a_certificate_passes_for_its_device_and_for_no_other():
    check_certificate(GOOD, AUTHORITY.pem, DEVICE, KEY_PEM)
    with pytest.raises(PeerError, match="another device"):
        check_certificate(GOOD, AUTHORITY.pem, DEVICE + "2", KEY_PEM)


@pytest.mark.parametrize(
    ("certificate", "problem"),
    [
        (
            AUTHORITY.issue(
                ec.generate_private_key(ec.SECP256R1()).public_key(),
                [UniformResourceIdentifier(DEVICE)],
            ),
            "another key",
        ),
        (AUTHORITY.issue_device(CSR, DEVICE + "2"), "another device"),
        (
            AUTHORITY.issue_device(CSR, DEVICE, usage=ExtendedKeyUsageOID.SERVER_AUTH),
            "client authentication",
        ),
        (TestAuthority().issue_device(CSR, DEVICE), "enrolment authority"),
        (GOOD + GOOD, "enrolment authority"),
        ("not a certificate", "enrolment authority"),
        ("", "enrolment authority"),
    ],
    ids=["key", "name", "usage", "issuer", "two", "text", "empty"],
)
def test_any_other_certificate_is_refused(certificate, problem):
    with pytest.raises(PeerError, match=problem) as raised:
        check_certificate(certificate, AUTHORITY.pem, DEVICE, KEY_PEM)
    assert raised.value.code == "BAD_CERTIFICATE"


def test_a_request_is_signed_by_its_key_and_names_nobody():
    request = load_pem_x509_csr(CSR.encode())
    assert request.is_signature_valid
    assert request.public_key() == load_key(KEY_PEM).public_key()
    assert len(request.subject) == 0


def test_each_key_is_new_and_on_the_agreed_curve():
    assert isinstance(load_key(KEY_PEM).curve, ec.SECP256R1)
    assert new_key_pem() != KEY_PEM


def test_another_kind_of_key_is_refused():
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(UserActionError) as raised:
        load_key(other.decode())
    assert raised.value.code == "IDENTITY_DAMAGED"


def test_a_fingerprint_is_the_digest_of_the_der_form():
    assert len(fingerprint(GOOD)) == 64
    assert fingerprint(GOOD) != fingerprint(AUTHORITY.pem)
    assert fingerprint("") == ""
