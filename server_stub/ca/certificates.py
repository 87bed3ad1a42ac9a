"""Builds the authority's X.509 objects: its own certificate, those of servers and devices, and the
revocation list (RFC 5280).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.errors import PeerError
from agent.protocol.x509_errors import X509_ERRORS
from server_stub.config.host_names import general_name

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
DEVICE_S = 7 * 24 * 3600
CLOCK_SLACK_S = 300
"""Certificates start this much earlier, so that a device with a slow clock accepts its new one at
once."""
ROOT_SLACK_S = 2 * 24 * 3600
"""The same for the authority and its servers: a clock may be a day slow on their first day."""
REVOCATION_LIST_S = 24 * 3600
MAX_CSR_CHARS = 8 * 1024

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    """Generate a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> Key:
    """Read a key from PEM. Raises ValueError for anything but an unencrypted P-256 key."""
    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("expected a P-256 key")
    return key


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def authority_certificate(key: Key, name: str, now: int) -> x509.Certificate:
    """Build the self-signed root certificate for devices and servers."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS * 86400, ROOT_SLACK_S)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(issues=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


def server_certificate(
    issuer: x509.Certificate, issuer_key: Key, key: Key, hosts: Iterable[str], now: int
) -> x509.Certificate:
    """Build a TLS server's certificate for host names and addresses."""
    names = [general_name(host) for host in hosts]
    return (
        _builder(
            x509.Name([]),
            issuer.subject,
            key.public_key(),
            now,
            SERVER_DAYS * 86400 - ROOT_SLACK_S,
            ROOT_SLACK_S,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(issues=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, SHA256())
    )


def device_certificate(
    issuer: x509.Certificate,
    issuer_key: Key,
    public_key: ec.EllipticCurvePublicKey,
    device_id: str,
    now: int,
) -> x509.Certificate:
    """Build a device's certificate: client authentication only, seven days, named by its URN."""
    return (
        _builder(x509.Name([]), issuer.subject, public_key, now, DEVICE_S)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(issues=False), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(device_id)]), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, SHA256())
    )


def revocation_list(
    issuer: x509.Certificate,
    issuer_key: Key,
    number: int,
    revoked: Sequence[tuple[int, int]],
    now: int,
) -> str:
    """Sign a revocation list, as PEM. `revoked`: (serial number, seconds since the epoch)."""
    entries = [
        x509.RevokedCertificateBuilder(serial, _time(when)).build() for serial, when in revoked
    ]
    builder = (  # All at once: `add_revoked_certificate` copies the list each time.
        x509.CertificateRevocationListBuilder(revoked_certificates=entries)
        .issuer_name(issuer.subject)
        .last_update(_time(now))
        .next_update(_time(now + REVOCATION_LIST_S))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    return builder.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM).decode()


def read_csr(text: str) -> ec.EllipticCurvePublicKey:
    """Read the key that a certificate is requested for. Nothing else in the request is used.

    Raises PeerError BAD_CSR unless it is a P-256 key that signed the request.
    """
    try:
        if len(text) > MAX_CSR_CHARS:
            raise ValueError("too long")
        request = x509.load_pem_x509_csr(text.encode())
        key = request.public_key()
        if (
            not isinstance(key, ec.EllipticCurvePublicKey)
            or not isinstance(key.curve, ec.SECP256R1)
            or not request.is_signature_valid
        ):
            raise ValueError("expected a P-256 key and its signature")
    except X509_ERRORS as error:
        raise PeerError(
            "BAD_CSR",
            "The certificate request is not valid.",
            "Nothing was changed.",
            str(error)[:200],
        ) from error
    return key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: int,
    life_s: int,
    slack_s: int = CLOCK_SLACK_S,
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer,
        subject,
        public_key,
        x509.random_serial_number(),
        _time(now - slack_s),
        _time(now + life_s),
    )


def _usage(*, issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
