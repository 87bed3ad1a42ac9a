"""A member's key counts only with a certificate of the pinned authority, for its own name, valid
now and not revoked.
"""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import AegisError, PeerError
from agent.protocol.identities import Authority, verify_signature
from server_stub.ca import certificates
from tests.fakes.secagg import signer

NOW = 1_800_000_000
DEVICE = "urn:aegisai:device:0123"
KEY = certificates.new_key()
CA_KEY = certificates.new_key()
CA = certificates.authority_certificate(CA_KEY, "Authority", NOW)


def authority(now=NOW, revoked=()):
    return Authority(
        certificates.pem(CA), datetime.datetime.fromtimestamp(now, datetime.UTC), frozenset(revoked)
    )


def issued(issuer=CA, issuer_key=CA_KEY, name=DEVICE, key=KEY, now=NOW):
    return certificates.device_certificate(issuer, issuer_key, key.public_key(), name, now)


def der(certificate):
    return certificate.public_bytes(Encoding.DER)


def refusal(certificate, device_id=DEVICE, **options):
    with pytest.raises(AegisError) as raised:
        authority(**options).key_of(certificate, device_id)
    return raised.value.code


def test_the_certified_key_is_given():
    key = authority().key_of(der(issued()), DEVICE)
    assert key.public_numbers() == KEY.public_key().public_numbers()
    assert Authority.der(certificates.pem(CA)) == der(CA)


def test_p6_another_authority_of_the_same_name_is_refused():
    other_key = certificates.new_key()
    other = certificates.authority_certificate(other_key, "Authority", NOW)
    assert refusal(der(issued(other, other_key))) == "ROSTER_CERTIFICATE"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("value", [0, 0x69, 0xFF])
def test_p11_a_certificate_with_any_damaged_byte_is_refused_by_name(value):
    whole, checker = der(issued()), authority()
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([value]) + whole[at + 1 :]
        if damaged == whole:
            continue
        with pytest.raises(AegisError) as raised:
            checker.key_of(damaged, DEVICE)
        assert raised.value.code == "ROSTER_CERTIFICATE"


@pytest.mark.parametrize("days", [-2, 8])
def test_p6_a_certificate_counts_only_while_it_is_valid(days):
    assert refusal(der(issued()), now=NOW + days * 86_400) == "ROSTER_CERTIFICATE"


def test_p6_a_certificate_for_another_name_is_refused():
    assert refusal(der(issued()), device_id="urn:aegisai:device:4567") == "ROSTER_CERTIFICATE"


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("device.example")],
        [
            x509.UniformResourceIdentifier(DEVICE),
            x509.UniformResourceIdentifier("urn:aegisai:device:other"),
        ],
    ],
    ids=["no urn", "two names"],
)
def test_p6_a_certificate_names_exactly_one_device(names):
    certificate = (
        x509.CertificateBuilder(
            CA.subject,
            x509.Name([]),
            KEY.public_key(),
            5,
            issued().not_valid_before_utc,
            issued().not_valid_after_utc,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(CA_KEY.public_key()), critical=False
        )
        .sign(CA_KEY, SHA256())
    )
    assert refusal(der(certificate)) == "ROSTER_CERTIFICATE"


def test_p6_a_servers_certificate_is_no_devices():
    certificate = certificates.server_certificate(CA, CA_KEY, KEY, ["localhost"], NOW)
    assert refusal(der(certificate), device_id="localhost") == "ROSTER_CERTIFICATE"


def test_p6_a_key_on_another_curve_is_refused():
    assert refusal(der(issued(key=ec.generate_private_key(ec.SECP384R1())))) == "ROSTER_CERTIFICATE"


def test_p6_a_revoked_certificate_is_refused_by_its_own_code():
    certificate = issued()
    assert refusal(der(certificate), revoked=[certificate.serial_number]) == "ROSTER_REVOKED"
    assert authority(revoked=[certificate.serial_number + 1]).key_of(der(certificate), DEVICE)


@given(st.binary(max_size=64))
def test_p11_bytes_that_are_no_certificate_are_refused(content):
    assert refusal(content) == "ROSTER_CERTIFICATE"


def test_a_signature_holds_for_its_statement_and_key_only():
    signature = signer(KEY)(b"statement")
    assert verify_signature(KEY.public_key(), signature, b"statement")
    assert not verify_signature(KEY.public_key(), signature, b"another")
    assert not verify_signature(CA_KEY.public_key(), signature, b"statement")


@given(st.binary(max_size=80))
def test_p11_whatever_bytes_come_as_a_signature_do_not_hold(signature):
    assert verify_signature(KEY.public_key(), signature, b"statement") is False


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_p11_whatever_is_wrong_with_a_certificate_has_one_code(changes, cut):
    """Also what the parser raises only when a field is looked at, such as a version of 105."""
    content = bytearray(der(issued()))
    for place, value in changes:
        content[place % len(content)] = value
    spoiled = bytes(content[: len(content) - cut])
    try:
        key = authority().key_of(spoiled, DEVICE)
        outcome = key.public_numbers() == KEY.public_key().public_numbers()
    except PeerError as error:
        outcome = error.code
    assert outcome in ("ROSTER_CERTIFICATE", True)


def test_what_the_authority_signed_is_told_from_what_it_did_not():
    sign = signer(CA_KEY)
    assert authority().has_signed(sign(b"statement"), b"statement")
    assert not authority().has_signed(sign(b"statement"), b"other")
    assert not authority().has_signed(signer(KEY)(b"statement"), b"statement")
    assert not authority().has_signed(b"", b"statement")
