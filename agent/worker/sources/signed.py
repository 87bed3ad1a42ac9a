"""Benign by signature: programs with a valid Authenticode chain to an authority of the task.

Malware is signed too, with stolen or bought keys, so this counts for less than the other sources
(agent.protocol.sources.ONE_IN). Nothing is looked up on the network: whether a certificate was
revoked stays unknown, because asking would tell a stranger which programs are here. The time of the
signature is the one that the file gives.

lief checks the signature and the hash of the file. The chain is followed here, through the
certificates that the signature brings, up to one whose SHA-256 the task lists. Signatures seldom
bring a root, so a task lists the authority below it.
"""

import hashlib
import os
import struct
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agent.worker.files import opened
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_BYTES = 256 * 1024 * 1024
"""lief reads the file into memory."""
MAX_CHAIN = 6
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
"""By magic: where the data directories begin in the optional header."""
_SECURITY = 4
"""The number of the directory that says where the signature is."""


class Signed:
    """Signatures under the task's authorities."""

    def __init__(self, places: Places, _: Collection[str]) -> None:
        self._authorities = frozenset(places.authorities)
        self.problem = "" if is_possible() else "NO_LIEF"

    def knows(self, program: Program) -> bool:
        if not self._authorities or self.problem or program.size > MAX_BYTES:
            return False
        if not _has_signature(program.path):
            return False
        import lief

        lief.logging.disable()
        config = lief.PE.ParserConfig()
        config.parse_exports = config.parse_imports = config.parse_rsrc = False
        config.parse_reloc = config.parse_exceptions = config.parse_arm64x_binary = False
        try:
            binary = lief.PE.parse(program.path, config)
            if binary is None:
                return False
            is_valid = binary.verify_signature() == lief.PE.Signature.VERIFICATION_FLAGS.OK
            return is_valid and any(
                _leads_to(self._authorities, signature) for signature in binary.signatures
            )
        except (RuntimeError, ValueError, TypeError):  # what a broken signature makes lief raise
            return False


def is_possible() -> bool:
    """Whether signatures can be checked here: lief comes with the extra `signatures`."""
    return find_spec("lief") is not None


def _has_signature(path: str) -> bool:
    """Whether the headers say that there is one. Raises RefusedFileError."""
    with opened(path) as (descriptor, _):
        head = os.read(descriptor, 64)
        try:
            start = struct.unpack_from("<I", head, 60)[0] + 24
            os.lseek(descriptor, start, os.SEEK_SET)
            optional = os.read(descriptor, 256)
            directories = _DIRECTORIES[struct.unpack_from("<H", optional)[0]]
            where, size = struct.unpack_from("<II", optional, directories + 8 * _SECURITY)
        except (struct.error, KeyError, OSError):
            return False
    return bool(where and size)


def _leads_to(authorities: frozenset[str], signature: Any) -> bool:  # lief has no types
    """Whether the signer's certificate leads to one of the authorities."""
    if len(signature.signers) != 1 or signature.signers[0].cert is None:
        return False
    signer = bytes(signature.signers[0].cert.raw)
    brought = [bytes(one.raw) for one in signature.certificates]
    return chain_holds(signer, brought, authorities)


def chain_holds(signer: bytes, brought: Sequence[bytes], authorities: Collection[str]) -> bool:
    """Whether a chain of the certificates `brought` (DER) leads from `signer` to an authority.

    `authorities`: SHA-256 of certificates, hex. The signer must be one for code, and each issuer
    an authority. Raises ValueError for what is no certificate.
    """
    from cryptography import x509

    current = x509.load_der_x509_certificate(signer)
    if not _is_for_code(current):
        return False
    others = [(der, x509.load_der_x509_certificate(der)) for der in brought]
    for _ in range(MAX_CHAIN):
        issuer = next(
            ((der, one) for der, one in others if _is_issuer(one, current) and one != current), None
        )
        if issuer is None:
            return False
        der, current = issuer
        if hashlib.sha256(der).hexdigest() in authorities:
            return True
    return False


def _is_for_code(certificate: "Certificate") -> bool:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CODE_SIGNING in usage.value


def _is_issuer(candidate: "Certificate", certificate: "Certificate") -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    if candidate.subject != certificate.issuer:
        return False
    try:
        constraints = candidate.extensions.get_extension_for_class(x509.BasicConstraints)
        certificate.verify_directly_issued_by(candidate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return constraints.value.ca
