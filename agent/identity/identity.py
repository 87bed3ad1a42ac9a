"""Who this device is: one encrypted file with the private key, its certificate and the erase
secret, which the key store opens.

1. The file is AES-256-GCM with the installation id as associated data, mode 0600, written whole or
   not at all.
2. The key store's item holds the wrapping key and the fingerprints of the certificates that the
   file may carry, so that an older copy of the file is found out. During a change it names both;
   whichever of them the crash left behind is accepted.
3. `create` makes the key; it is kept when the enrolment is interrupted, so that the server's answer
   to a repeated request still fits.
4. `destroy` drops the ciphertext first, then the wrapping key, then the rest; it can be repeated
   until it succeeds.

The key is software-protected: whoever may read this login's keyring may use it. `Signer` is the
seam for a TPM.
"""

import base64
import json
import os
import ssl
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agent import atomic_file
from agent.errors import PeerError, UserActionError
from agent.identity.keystore import KeyStore
from agent.protocol.canonical import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

FILE_NAME = "identity.aead"
FORMAT = "aegisai-identity/1"
MAX_FILE_BYTES = 64 * 1024


class Signer(Protocol):
    """Signs for the device without showing the key."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256; 64 bytes, r ‖ s (RFC 9421 §3.3.4)."""

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
        """Python's ssl loads keys from files only: a file under a random password, gone as soon as
        it is read (1.4 ms).
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


@dataclass(frozen=True)
class Identity:
    """An enrolled device, opened. Hold it only while it is used."""

    device_id: str
    """"urn:uuid:…"."""
    installation_id: str
    certificate_pem: str
    not_before: int
    not_after: int
    """Seconds since the epoch."""
    fingerprint: str
    """SHA-256 of the certificate's DER, hex."""
    signing_key: str
    """The aggregator's Ed25519 public key, hex."""
    signer: Signer = field(repr=False)
    erase_secret: str = field(repr=False)


@dataclass(frozen=True, repr=False)
class _Contents:
    """What lies encrypted in the file. "" stands for "not yet"."""

    key_pem: str
    next_key_pem: str = ""
    device_id: str = ""
    certificate_pem: str = ""
    erase_secret: str = ""
    signing_key: str = ""


class IdentityFile:
    """The identity on the disk.

    Every method but `exists` may ask the key store and raise its errors; call from an executor.
    """

    def __init__(self, home: Path, keystore: KeyStore) -> None:
        self._path = home / FILE_NAME
        self._keystore = keystore

    def exists(self) -> bool:
        """Whether anything is there, be it a remnant; asks nobody."""
        return self._path.exists()

    def create(self) -> None:
        """Make the key, unless an interrupted enrolment left one.

        Raises UserActionError ALREADY_ENROLLED.
        """
        if self.exists() and not self.is_remnant():
            if self._read().certificate_pem:
                raise UserActionError(
                    "ALREADY_ENROLLED",
                    "This device is enrolled already.",
                    "Erase first to enrol anew.",
                )
            return
        self.destroy()
        installation_id = uuid.uuid4().hex
        wrapping_key = os.urandom(32)
        self._write_remnant(installation_id)
        self._keystore.put(installation_id, _item(wrapping_key, ()))
        self._write(installation_id, wrapping_key, _Contents(_new_key_pem()))

    def csr_pem(self) -> str:
        """The certificate request for the key, signed by it. The server chooses the name."""
        return _csr_pem(self._read().key_pem)

    def set_certificate(
        self, device_id: str, certificate_pem: str, ca_pem: str, erase_secret: str, signing_key: str
    ) -> None:
        """Store what enrolment gave.

        Raises PeerError BAD_CERTIFICATE as `check_certificate` does.
        """
        contents = self._read()
        check_certificate(certificate_pem, ca_pem, device_id, contents.key_pem)
        self._change(
            contents,
            replace(
                contents,
                device_id=device_id,
                certificate_pem=certificate_pem,
                erase_secret=erase_secret,
                signing_key=signing_key,
            ),
        )

    def load(self) -> Identity:
        """Open the identity.

        Raises UserActionError NOT_ENROLLED, IDENTITY_DAMAGED, and the key store's errors.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        contents = self._read()
        if not contents.certificate_pem:
            raise _not_enrolled()
        certificate = x509.load_pem_x509_certificate(contents.certificate_pem.encode())
        return Identity(
            device_id=contents.device_id,
            installation_id=self._installation_id(),
            certificate_pem=contents.certificate_pem,
            not_before=int(certificate.not_valid_before_utc.timestamp()),
            not_after=int(certificate.not_valid_after_utc.timestamp()),
            fingerprint=certificate.fingerprint(SHA256()).hex(),
            signing_key=contents.signing_key,
            signer=SoftwareSigner(_load_key(contents.key_pem)),
            erase_secret=contents.erase_secret,
        )

    def derived_key(self, label: str) -> bytes:
        """32 bytes that only this key store gives, for what `label` says (HKDF-SHA-256).

        Raises as `load` does.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        installation_id = self._installation_id()
        wrapping_key, _ = self._open_item(installation_id)
        return HKDF(SHA256(), 32, salt=bytes.fromhex(installation_id), info=label.encode()).derive(
            wrapping_key
        )

    def renewal_csr_pem(self) -> str:
        """The request for the next certificate, with a new key that is kept until `set_renewed` (a
        repeated call gives the same key).
        """
        contents = self._read()
        if not contents.certificate_pem:
            raise _not_enrolled()
        if not contents.next_key_pem:
            fresh = replace(contents, next_key_pem=_new_key_pem())
            self._change(contents, fresh)
            contents = fresh
        return _csr_pem(contents.next_key_pem)

    def set_renewed(self, certificate_pem: str, ca_pem: str) -> None:
        """Replace key and certificate by the next ones.

        Raises PeerError BAD_CERTIFICATE; then nothing has changed.
        """
        contents = self._read()
        check_certificate(certificate_pem, ca_pem, contents.device_id, contents.next_key_pem)
        self._change(
            contents,
            replace(
                contents,
                key_pem=contents.next_key_pem,
                next_key_pem="",
                certificate_pem=certificate_pem,
            ),
        )

    def destroy(self) -> None:
        """Remove key, certificate and wrapping key.

        Repeat it when it raises: the key itself is gone after the first step.
        """
        if not self.exists():
            return
        try:
            installation_id = self._installation_id()
        except (
            UserActionError
        ):  # unreadable: there is no name left under which the key store could hold anything
            atomic_file.remove(self._path)
            return
        try:
            self._write_remnant(installation_id)
        except OSError:  # a full disk
            atomic_file.remove(self._path)
        self._keystore.delete(installation_id)
        atomic_file.remove(self._path)

    def _change(self, old: _Contents, new: _Contents) -> None:
        """Write new contents; the item names the old and the new certificate until the file is
        there.
        """
        installation_id = self._installation_id()
        wrapping_key, _ = self._open_item(installation_id)
        fingerprints = (_fingerprint(old.certificate_pem), _fingerprint(new.certificate_pem))
        if fingerprints[0] != fingerprints[1]:
            self._keystore.put(installation_id, _item(wrapping_key, fingerprints))
        self._write(installation_id, wrapping_key, new)
        if fingerprints[0] != fingerprints[1]:
            self._keystore.put(installation_id, _item(wrapping_key, fingerprints[1:]))

    def _write(self, installation_id: str, wrapping_key: bytes, contents: _Contents) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        sealed = nonce + AESGCM(wrapping_key).encrypt(
            nonce, canonical(vars(contents)), _associated(installation_id)
        )
        outer = {
            "format": FORMAT,
            "installation_id": installation_id,
            "sealed": base64.b64encode(sealed).decode(),
        }
        atomic_file.write(self._path, canonical(outer))

    def _write_remnant(self, installation_id: str) -> None:
        """A file that only says under which name the key store may hold an item."""
        atomic_file.write(
            self._path,
            canonical({"format": FORMAT, "installation_id": installation_id, "sealed": ""}),
        )

    def _read(self) -> _Contents:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        outer = self._outer()
        if not outer["sealed"]:
            raise _not_enrolled()
        installation_id = outer["installation_id"]
        wrapping_key, known = self._open_item(installation_id)
        try:
            sealed = base64.b64decode(outer["sealed"], validate=True)
            contents = _Contents(
                **json.loads(
                    AESGCM(wrapping_key).decrypt(
                        sealed[:12], sealed[12:], _associated(installation_id)
                    )
                )
            )
        except (InvalidTag, ValueError, TypeError) as error:
            raise _damaged(type(error).__name__) from error
        if contents.certificate_pem and _fingerprint(contents.certificate_pem) not in known:
            raise _damaged("an older copy of the file")
        return contents

    def _open_item(self, installation_id: str) -> tuple[bytes, tuple[str, ...]]:
        """The wrapping key and the known fingerprints."""
        item = self._keystore.get(installation_id)
        if item is None:
            raise _damaged("the key store has no key for it")
        try:
            held = json.loads(item)
            return bytes.fromhex(held["key"]), tuple(held["certificates"])
        except (ValueError, TypeError, KeyError) as error:
            raise _damaged("the key store's item is not ours") from error

    def _outer(self) -> dict[str, str]:
        try:
            outer: dict[str, Any] = json.loads(atomic_file.read(self._path, MAX_FILE_BYTES))
            fits = (
                set(outer) == {"format", "installation_id", "sealed"} and outer["format"] == FORMAT
            )
            fits = (
                fits
                and uuid.UUID(outer["installation_id"]).hex == outer["installation_id"]
                and isinstance(outer["sealed"], str)
            )
        except FileNotFoundError as error:
            raise _not_enrolled() from error
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise _damaged(type(error).__name__) from error
        if not fits:
            raise _damaged("unexpected fields")
        return outer

    def _installation_id(self) -> str:
        return self._outer()["installation_id"]

    def is_remnant(self) -> bool:
        """Whether a `destroy` was interrupted here.

        Asks nobody. Raises UserActionError NOT_ENROLLED, IDENTITY_DAMAGED.
        """
        return not self._outer()["sealed"]


def check_certificate(certificate_pem: str, ca_pem: str, device_id: str, key_pem: str) -> None:
    """Raise PeerError BAD_CERTIFICATE unless it is for this key and name, for client authentication
    only, and issued by `ca_pem`.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        if certificate_pem.count("-----BEGIN") != 1:
            raise ValueError("expected one certificate")
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem.encode()))
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        problem = (
            "is for another key"
            if certificate.public_key() != _load_key(key_pem).public_key()
            else "is for another device"
            if _names(certificate) != [device_id]
            else "is not for client authentication alone"
            if list(usage) != [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
            else ""
        )
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        problem = f"does not come from the enrolment authority ({type(error).__name__})"
    if problem:
        raise PeerError(
            "BAD_CERTIFICATE",
            f"The certificate that the server sent {problem}.",
            "Nothing was changed. Tell the operator.",
        )


def _names(certificate: "Certificate") -> list[str]:
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def _new_key_pem() -> str:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    ).decode()


def _load_key(key_pem: str) -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise _damaged("the key is not an elliptic-curve key")
    return key


def _csr_pem(key_pem: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(_load_key(key_pem), SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode()


def _fingerprint(certificate_pem: str) -> str:
    """SHA-256 of the certificate's DER, hex; "" for none."""
    import hashlib

    return (
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).hexdigest()
        if certificate_pem
        else ""
    )


def _item(wrapping_key: bytes, certificates: tuple[str, ...]) -> bytes:
    return canonical({"key": wrapping_key.hex(), "certificates": list(certificates)})


def _associated(installation_id: str) -> bytes:
    return canonical({"format": FORMAT, "installation_id": installation_id})


def _not_enrolled() -> UserActionError:
    return UserActionError(
        "NOT_ENROLLED",
        "This device is not enrolled.",
        "Paste an invitation, or ask the operator for one.",
    )


def _damaged(detail: str) -> UserActionError:
    return UserActionError(
        "IDENTITY_DAMAGED",
        "This device's identity cannot be opened.",
        "Erase it and ask the operator for a new invitation.",
        detail,
    )
