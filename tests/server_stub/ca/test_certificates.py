"""The authority's X.509 objects: who may do what with them, for how long, and under which names."""

import base64
import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from agent.errors import AegisError
from server_stub.ca import certificates

NOW = 1_800_000_000
KEY, OTHER = certificates.new_key(), certificates.new_key()
ROOT = certificates.authority_certificate(KEY, "Authority", NOW)
DEVICE = "urn:uuid:0123"


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def csr(key):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def test_the_root_issues_certificates_and_lists_and_no_further_authorities():
    limits, usage = extension(ROOT, x509.BasicConstraints), extension(ROOT, x509.KeyUsage)
    assert (limits.value.ca, limits.value.path_length, limits.critical) == (True, 0, True)
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (True, True)
    assert not usage.value.digital_signature
    ROOT.verify_directly_issued_by(ROOT)


def test_a_device_certificate_signs_for_one_name_for_seven_days():
    made = certificates.device_certificate(ROOT, KEY, OTHER.public_key(), DEVICE, NOW)
    assert [str(name.value) for name in extension(made, x509.SubjectAlternativeName).value] == [
        DEVICE
    ]
    assert list(extension(made, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extension(made, x509.KeyUsage).value.digital_signature
    assert not extension(made, x509.BasicConstraints).value.ca
    assert made.not_valid_before_utc == moment(NOW - certificates.CLOCK_SLACK_S)
    assert made.not_valid_after_utc == moment(NOW + 7 * 86_400)
    assert list(made.subject) == []  # no name of a person or a computer


@pytest.mark.parametrize("host", ["fl.example.org", "127.0.0.1", "::1"])
def test_a_server_certificate_verifies_for_its_hosts_and_no_others(host):
    made = certificates.server_certificate(ROOT, KEY, OTHER, [host, "localhost"], NOW)
    builder = PolicyBuilder().store(Store([ROOT])).time(moment(NOW))

    def verifies(name):
        try:
            subject = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            subject = x509.DNSName(name)
        try:
            return bool(builder.build_server_verifier(subject).verify(made, []))
        except VerificationError:
            return False

    assert [verifies(name) for name in (host, "localhost", "other.example", "10.0.0.1")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_device_whose_clock_is_slow_by_a_day_accepts_a_new_server():
    made = certificates.server_certificate(ROOT, KEY, OTHER, ["localhost"], NOW)
    assert made.not_valid_before_utc <= moment(NOW - 86_400) >= ROOT.not_valid_before_utc
    lasts = made.not_valid_after_utc - made.not_valid_before_utc
    assert lasts == datetime.timedelta(days=certificates.SERVER_DAYS)


def test_a_revocation_list_names_serials_times_and_its_number():
    listed = certificates.revocation_list(ROOT, KEY, 9, [(5, NOW - 60), (2**150, NOW)], NOW)
    read = x509.load_pem_x509_crl(listed.encode())
    assert read.is_signature_valid(KEY.public_key())
    assert {entry.serial_number: entry.revocation_date_utc for entry in read} == {
        5: moment(NOW - 60),
        2**150: moment(NOW),
    }
    assert read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 9
    assert read.next_update_utc == moment(NOW + certificates.REVOCATION_LIST_S)


def test_a_request_gives_the_key_whose_holder_signed_it():
    assert certificates.read_csr(csr(OTHER)).public_numbers() == OTHER.public_key().public_numbers()


def stolen(text):
    """A request for another key under the old signature."""
    body = bytearray(x509.load_pem_x509_csr(text.encode()).public_bytes(Encoding.DER))
    body[-1] ^= 1
    return x509.load_der_x509_csr(bytes(body)).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no request",
        "a" * 9000,
        certificates.pem(ROOT),
        stolen(csr(OTHER)),
        csr(ec.generate_private_key(ec.SECP384R1())),
        csr(ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["empty", "text", "long", "certificate", "unsigned", "other curve", "other kind"],
)
def test_p11_another_request_is_refused(text):
    with pytest.raises(AegisError) as raised:
        certificates.read_csr(text)
    assert raised.value.code == "BAD_CSR"


def test_p11_a_request_with_a_damaged_byte_is_refused_by_name():
    whole = x509.load_pem_x509_csr(csr(OTHER).encode()).public_bytes(Encoding.DER)
    for at in range(len(whole)):
        damaged = whole[:at] + b"\x69" + whole[at + 1 :]
        if damaged == whole:
            continue
        encoded = base64.encodebytes(damaged).decode()
        text = f"-----BEGIN CERTIFICATE REQUEST-----\n{encoded}-----END CERTIFICATE REQUEST-----\n"
        with pytest.raises(AegisError) as raised:
            certificates.read_csr(text)
        assert raised.value.code == "BAD_CSR"


def test_a_key_survives_its_file_and_another_kind_is_refused():
    assert (
        certificates.load_key(certificates.key_pem(KEY)).private_numbers() == KEY.private_numbers()
    )
    forms = (Encoding.PEM, PrivateFormat.PKCS8)
    locked = KEY.private_bytes(*forms, BestAvailableEncryption(b"secret"))
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(*forms, NoEncryption())
    for content in (locked, other, b"", b"no key"):
        with pytest.raises((ValueError, TypeError)):
            certificates.load_key(content)
