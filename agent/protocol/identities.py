"""Checks whose keys a group's members use: their certificates against the pinned authority, and
their signatures.

Each device checks every member itself, so an aggregator without the authority's key cannot invent
members.
"""

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.verification import PolicyBuilder, Store

from agent.errors import PeerError

_ALGORITHM = ECDSA(hashes.SHA256())


class Authority:
    """The pinned certificate authority at one moment."""

    def __init__(self, ca_pem: str, now: datetime.datetime, revoked: frozenset[int]) -> None:
        root = x509.load_pem_x509_certificate(ca_pem.encode())
        self._verifier = (
            PolicyBuilder()
            .store(Store([root]))
            .time(now)
            .max_chain_depth(0)
            .build_client_verifier()
        )
        self._key = root.public_key()
        self._revoked = revoked

    @staticmethod
    def der(certificate_pem: str) -> bytes:
        """Convert a certificate from PEM to DER."""
        return x509.load_pem_x509_certificate(certificate_pem.encode()).public_bytes(
            serialization.Encoding.DER
        )

    def has_signed(self, signature: bytes, statement: bytes) -> bool:
        """Whether the authority made `signature` (64 bytes, r ‖ s) over `statement`."""
        return isinstance(self._key, EllipticCurvePublicKey) and verify_signature(
            self._key, signature, statement
        )

    def key_of(self, certificate_der: bytes, device_id: str) -> EllipticCurvePublicKey:
        """Return the P-256 key that the authority certified for `device_id`.

        Raises PeerError ROSTER_CERTIFICATE, ROSTER_REVOKED.
        """
        try:
            certificate = x509.load_der_x509_certificate(certificate_der)
            # The verifier checks path, validity and the client-authentication usage (RFC 5280).
            names = self._verifier.verify(certificate, []).subjects or []
            key, serial = certificate.public_key(), certificate.serial_number
            is_named = [
                isinstance(name, x509.UniformResourceIdentifier) and name.value for name in names
            ] == [device_id]
        # Whatever the parser raises for bytes that a stranger chose, also what no list foresees.
        except Exception as error:
            raise _refused("ROSTER_CERTIFICATE", f"{type(error).__name__}: {error}") from error
        if not is_named:
            raise _refused("ROSTER_CERTIFICATE", "it names another device")
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            raise _refused("ROSTER_CERTIFICATE", "expected a P-256 key")
        if serial in self._revoked:
            raise _refused("ROSTER_REVOKED", "it was revoked")
        return key


def verify_signature(key: EllipticCurvePublicKey, signature: bytes, statement: bytes) -> bool:
    """Whether `key` made `signature` (64 bytes, r ‖ s) over `statement`."""
    half = len(signature) // 2
    try:
        key.verify(
            encode_dss_signature(
                int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            ),
            statement,
            _ALGORITHM,
        )
    except InvalidSignature:
        return False
    return True


def _refused(code: str, detail: str) -> PeerError:
    return PeerError(
        code,
        "This device left the round: a member's certificate is not acceptable.",
        "Nothing was sent. Tell the operator.",
        detail,
    )
