"""Checks the enrolment authority's log of everything it issued, from a device's side. Sans-IO.

A device keeps the last head that it saw. So it notices when the authority rewrites the past, or
when its own certificate is not in the log. It cannot tell whose the other entries are: they are
digests, dates, and the place of the same device's first entry, no names.
"""

import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from agent.errors import PeerError
from agent.protocol.canonical import canonical
from agent.protocol.log_tree import is_consistent, is_included, leaf_hash

LIST_SIGNING_CONTEXT = b"aegisai/issuance-log/1\0"
MAX_STEPS = 64


@dataclass(frozen=True)
class LogHead:
    """The log at one moment."""

    size: int
    root: str
    """Hex."""


def head_bytes(head: LogHead) -> bytes:
    """Return the bytes that the authority signs."""
    return LIST_SIGNING_CONTEXT + canonical({"size": head.size, "root": head.root})


def read_head(signed_head: dict[str, Any], ca_pem: str) -> LogHead:
    """Read and verify a head.

    `signed_head`: size, root and the authority's signature (ECDSA P-256, SHA-256, DER, hex). Raises
    PeerError ISSUANCE_LOG.
    """
    try:
        size, root = signed_head["size"], bytes.fromhex(signed_head["root"])
        if type(size) is not int or not 0 < size < 2**53 or len(root) != 32:
            raise ValueError("out of range")
        head = LogHead(size, root.hex())
        key = x509.load_pem_x509_certificate(ca_pem.encode()).public_key()
        if not isinstance(key, EllipticCurvePublicKey):
            raise TypeError("expected an elliptic curve key")
        key.verify(bytes.fromhex(signed_head["signature"]), head_bytes(head), ECDSA(SHA256()))
    except (KeyError, ValueError, TypeError, InvalidSignature) as error:
        raise refused("is not signed by the authority", type(error).__name__) from error
    return head


def check_entry(head: LogHead, inclusion: dict[str, Any], certificate_sha256: str) -> None:
    """Check that the log records the issuance of this certificate.

    `inclusion`: index, size, entry and proof. Raises PeerError ISSUANCE_LOG.
    """
    try:
        entry = inclusion["entry"].encode()
        event = json.loads(entry)
        holds = (
            (event["event"], event["certificate_sha256"]) == ("issued", certificate_sha256)
            and inclusion["size"] == head.size
            and is_included(
                leaf_hash(entry),
                inclusion["index"],
                head.size,
                _steps(inclusion),
                bytes.fromhex(head.root),
            )
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refused("does not hold this device's certificate", type(error).__name__) from error
    if not holds:
        raise refused("does not hold this device's certificate")


def check_growth(earlier: LogHead, head: LogHead, consistency: dict[str, Any]) -> None:
    """Check that `earlier` is the beginning of `head`.

    `consistency`: earlier, size and proof. Raises PeerError ISSUANCE_LOG.
    """
    try:
        sizes = (consistency["earlier"], consistency["size"])
        roots = bytes.fromhex(earlier.root), bytes.fromhex(head.root)
        holds = sizes == (earlier.size, head.size) and is_consistent(
            earlier.size, head.size, *roots, _steps(consistency)
        )
    except (KeyError, ValueError, TypeError) as error:
        raise refused("was changed since this device last saw it", type(error).__name__) from error
    if not holds:
        raise refused("was changed since this device last saw it")


def refused(reason: str, detail: str = "") -> PeerError:
    """Return the error of every failed check."""
    return PeerError(
        "ISSUANCE_LOG",
        f"The enrolment authority's log of certificates {reason}.",
        "This device takes part in nothing. Tell the operator.",
        detail,
    )


def _steps(value: dict[str, Any]) -> list[bytes]:
    steps = [bytes.fromhex(step) for step in value["proof"]]
    if len(steps) > MAX_STEPS or any(len(step) != 32 for step in steps):
        raise ValueError("proof")
    return steps
