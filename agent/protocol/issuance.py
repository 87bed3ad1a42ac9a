"""The enrolment authority's log of all that it issued, as a device checks it. Sans-IO.

A device that keeps the last head it saw notices when the authority rewrites the past, and when its
own certificate is not in the log. It cannot tell whom the other entries are about: they hold
digests and dates, no names.
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
    """What the authority signs."""
    return LIST_SIGNING_CONTEXT + canonical({"size": head.size, "root": head.root})


def read_head(said: dict[str, Any], ca_pem: str) -> LogHead:
    """`said`: size, root and the authority's signature (ECDSA P-256, SHA-256, DER, hex).

    Raises PeerError ISSUANCE_LOG.
    """
    try:
        size, root = said["size"], bytes.fromhex(said["root"])
        if type(size) is not int or not 0 < size < 2**53 or len(root) != 32:
            raise ValueError("out of range")
        head, key = (
            LogHead(size, root.hex()),
            x509.load_pem_x509_certificate(ca_pem.encode()).public_key(),
        )
        if not isinstance(key, EllipticCurvePublicKey):
            raise TypeError("expected an elliptic curve key")
        key.verify(bytes.fromhex(said["signature"]), head_bytes(head), ECDSA(SHA256()))
    except (KeyError, ValueError, TypeError, InvalidSignature) as error:
        raise refused("is not signed by the authority", type(error).__name__) from error
    return head


def check_entry(head: LogHead, said: dict[str, Any], certificate_sha256: str) -> None:
    """Raise PeerError ISSUANCE_LOG unless the issuance of this certificate is in the log.

    `said`: index, size, entry, proof.
    """
    try:
        entry = said["entry"].encode()
        named = json.loads(entry)
        good = (named["event"], named["certificate_sha256"]) == ("issued", certificate_sha256)
        good = good and said["size"] == head.size
        good = good and is_included(
            leaf_hash(entry), said["index"], head.size, _steps(said), bytes.fromhex(head.root)
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refused("does not hold this device's certificate", type(error).__name__) from error
    if not good:
        raise refused("does not hold this device's certificate")


def check_growth(earlier: LogHead, head: LogHead, said: dict[str, Any]) -> None:
    """Raise PeerError ISSUANCE_LOG unless `earlier` is the beginning of `head`.

    `said`: earlier, size, proof.
    """
    try:
        good = (said["earlier"], said["size"]) == (earlier.size, head.size)
        roots = bytes.fromhex(earlier.root), bytes.fromhex(head.root)
        good = good and is_consistent(earlier.size, head.size, *roots, _steps(said))
    except (KeyError, ValueError, TypeError) as error:
        raise refused("was changed since this device last saw it", type(error).__name__) from error
    if not good:
        raise refused("was changed since this device last saw it")


def refused(reason: str, detail: str = "") -> PeerError:
    """The one error of this room."""
    return PeerError(
        "ISSUANCE_LOG",
        f"The enrolment authority's log of certificates {reason}.",
        "This device takes part in nothing. Tell the operator.",
        detail,
    )


def _steps(said: dict[str, Any]) -> list[bytes]:
    steps = [bytes.fromhex(step) for step in said["proof"]]
    if len(steps) > MAX_STEPS or any(len(step) != 32 for step in steps):
        raise ValueError("proof")
    return steps
