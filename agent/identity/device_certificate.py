"""The device's key and certificate as PEM: makes keys and requests, and checks certificates."""

import hashlib
import ssl
from typing import TYPE_CHECKING

from agent.errors import PeerError
from agent.identity.errors import identity_damaged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


def new_key_pem() -> str:
    """Make a P-256 key."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    ).decode()


def load_key(key_pem: str) -> "EllipticCurvePrivateKey":
    """Read an EC key. Raises UserActionError IDENTITY_DAMAGED for another kind of key."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise identity_damaged("the key is not an elliptic-curve key")
    return key


def csr_pem(key_pem: str) -> str:
    """Make a certificate request that the key signs. It names nobody: the server picks the name."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(load_key(key_pem), SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode()


def fingerprint(certificate_pem: str) -> str:
    """SHA-256 of the certificate's DER, hex; "" for no certificate."""
    if not certificate_pem:
        return ""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).hexdigest()


def check_certificate(certificate_pem: str, ca_pem: str, device_id: str, key_pem: str) -> None:
    """Check that `ca_pem` issued the certificate for this key and name and for client
    authentication alone.

    Raises PeerError BAD_CERTIFICATE.
    """
    from cryptography import x509

    from agent.protocol.x509_errors import X509_ERRORS

    try:
        if certificate_pem.count("-----BEGIN") != 1:
            raise ValueError("expected one certificate")
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem.encode()))
        key = certificate.public_key()
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except X509_ERRORS as error:
        raise _refused(
            f"does not come from the enrolment authority ({type(error).__name__})"
        ) from error
    if key != load_key(key_pem).public_key():
        raise _refused("is for another key")
    if [str(name.value) for name in names] != [device_id]:
        raise _refused("is for another device")
    if list(usage) != [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise _refused("is not for client authentication alone")


def _refused(why: str) -> PeerError:
    return PeerError(
        "BAD_CERTIFICATE",
        f"The certificate that the server sent {why}.",
        "Nothing was changed. Tell the operator.",
    )
