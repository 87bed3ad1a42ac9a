"""Who this device is: its private key, its certificate and the erase secret, from the first request
to the last trace.

1. `create` makes the key. An interrupted enrolment keeps it, so that the server's answer to a
   repeated request still fits.
2. A renewal makes the next key first and keeps the current one in use until `set_renewed`.
3. `destroy` removes the ciphertext first, then the wrapping key, then the rest. It can be repeated
   until it succeeds.

The key is protected by software: whoever can read this login's keyring can use it.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.errors import UserActionError
from agent.identity.device_certificate import check_certificate, csr_pem, load_key, new_key_pem
from agent.identity.errors import not_enrolled
from agent.identity.keystore import KeyStore
from agent.identity.sealed_identity import Contents, SealedIdentity
from agent.identity.signer import Signer, SoftwareSigner

FILE_NAME = "identity.aead"


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


class IdentityFile:
    """The identity on the disk.

    Every method but `exists` and `is_remnant` may call the key store and raise its errors; call
    from an executor.
    """

    def __init__(self, home: Path, keystore: KeyStore) -> None:
        self._sealed = SealedIdentity(home / FILE_NAME, keystore)

    def exists(self) -> bool:
        """Whether there is a file, a remnant included."""
        return self._sealed.exists()

    def is_remnant(self) -> bool:
        """Whether a `destroy` was interrupted here.

        Raises UserActionError NOT_ENROLLED, IDENTITY_DAMAGED.
        """
        return self._sealed.is_remnant()

    def create(self) -> None:
        """Make the key, unless an interrupted enrolment left one.

        Raises UserActionError ALREADY_ENROLLED.
        """
        if self.exists() and not self.is_remnant():
            if self._sealed.read().certificate_pem:
                raise UserActionError(
                    "ALREADY_ENROLLED",
                    "This device is enrolled already.",
                    "Erase first to enrol again.",
                )
            return
        self.destroy()
        self._sealed.create(Contents(new_key_pem()))

    def csr_pem(self) -> str:
        """Return the certificate request for the key, signed by it."""
        return csr_pem(self._sealed.read().key_pem)

    def set_certificate(
        self, device_id: str, certificate_pem: str, ca_pem: str, erase_secret: str, signing_key: str
    ) -> None:
        """Store what enrolment returned.

        Raises PeerError BAD_CERTIFICATE as `check_certificate` does.
        """
        contents = self._sealed.read()
        check_certificate(certificate_pem, ca_pem, device_id, contents.key_pem)
        enrolled = replace(
            contents,
            device_id=device_id,
            certificate_pem=certificate_pem,
            erase_secret=erase_secret,
            signing_key=signing_key,
        )
        self._sealed.replace(contents, enrolled)

    def load(self) -> Identity:
        """Open the identity.

        Raises UserActionError NOT_ENROLLED, IDENTITY_DAMAGED, and the key store's errors.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        contents = self._enrolled()
        certificate = x509.load_pem_x509_certificate(contents.certificate_pem.encode())
        return Identity(
            device_id=contents.device_id,
            installation_id=self._sealed.installation_id(),
            certificate_pem=contents.certificate_pem,
            not_before=int(certificate.not_valid_before_utc.timestamp()),
            not_after=int(certificate.not_valid_after_utc.timestamp()),
            fingerprint=certificate.fingerprint(SHA256()).hex(),
            signing_key=contents.signing_key,
            signer=SoftwareSigner(load_key(contents.key_pem)),
            erase_secret=contents.erase_secret,
        )

    def derived_key(self, label: str) -> bytes:
        """Derive a 32-byte key for the purpose that `label` names (HKDF-SHA-256).

        It depends on the key store's wrapping key, so nothing on the disk yields it. Raises as
        `load` does.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        salt = bytes.fromhex(self._sealed.installation_id())
        return HKDF(SHA256(), 32, salt, label.encode()).derive(self._sealed.wrapping_key())

    def has_sealed_ledger(self) -> bool:
        """Whether a ledger was sealed under this identity's wrapping key. Raises as `load` does."""
        return self._sealed.has_sealed_ledger()

    def note_sealed_ledger(self) -> None:
        """Note in the key store that a ledger was sealed. Raises as `load` does."""
        self._sealed.note_sealed_ledger()

    def renewal_csr_pem(self) -> str:
        """Return the request for the next certificate, with a new key.

        The key is kept until `set_renewed`: a repeated call returns a request for the same one.
        """
        contents = self._enrolled()
        if not contents.next_key_pem:
            with_next = replace(contents, next_key_pem=new_key_pem())
            self._sealed.replace(contents, with_next)
            contents = with_next
        return csr_pem(contents.next_key_pem)

    def set_renewed(self, certificate_pem: str, ca_pem: str) -> None:
        """Replace key and certificate by the next ones.

        Raises PeerError BAD_CERTIFICATE; then nothing has changed.
        """
        contents = self._sealed.read()
        check_certificate(certificate_pem, ca_pem, contents.device_id, contents.next_key_pem)
        renewed = replace(
            contents,
            key_pem=contents.next_key_pem,
            next_key_pem="",
            certificate_pem=certificate_pem,
        )
        self._sealed.replace(contents, renewed)

    def destroy(self, *, may_prompt: bool = False) -> None:
        """Remove key, certificate and wrapping key. A keyring that asks first may, if `may_prompt`.

        Repeat it when it raises: the key itself is gone after the first step.
        """
        self._sealed.destroy(may_prompt=may_prompt)

    def _enrolled(self) -> Contents:
        contents = self._sealed.read()
        if not contents.certificate_pem:
            raise not_enrolled()
        return contents
