"""A certificate authority that issues certificates with any fault that a test needs."""

import datetime
import os
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.protocol.witness import SEED_BYTES, Witnessed, statement

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class TestAuthority:
    """One root key. `issue` signs whatever it gets."""

    __test__ = False
    name: str = "Test authority"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self.certificate = (
            x509.CertificateBuilder(
                subject,
                subject,
                self.key.public_key(),
                x509.random_serial_number(),
                now() - DAY,
                now() + 365 * DAY,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        names: list[x509.GeneralName],
        *,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        start: datetime.timedelta = -DAY,
        end: datetime.timedelta = 7 * DAY,
    ) -> str:
        """Issue a certificate, as PEM, valid from now + `start` to now + `end`."""
        return (
            x509.CertificateBuilder(
                self.certificate.subject,
                x509.Name([]),
                public_key,
                x509.random_serial_number(),
                now() + start,
                now() + end,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
        )

    def issue_device(self, csr_pem: str, device_id: str, **options: object) -> str:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        assert request.is_signature_valid
        return self.issue(
            request.public_key(), [x509.UniformResourceIdentifier(device_id)], **options
        )  # type: ignore[arg-type]

    def issue_server(self, host: str = "localhost", **options: object) -> tuple[str, bytes]:
        """Issue a server's certificate. Returns it and its key, both as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(
            key.public_key(), [x509.DNSName(host)], usage=ExtendedKeyUsageOID.SERVER_AUTH, **options
        )  # type: ignore[arg-type]
        return certificate, pem(key)

    def witness(self, request):
        """Draw a seed and sign the draw, as often as asked: a witness that does not remember."""
        seed = os.urandom(SEED_BYTES)
        r, s = decode_dss_signature(
            self.key.sign(statement(request, seed), ec.ECDSA(hashes.SHA256()))
        )
        return Witnessed(seed, r.to_bytes(32, "big") + s.to_bytes(32, "big"))
