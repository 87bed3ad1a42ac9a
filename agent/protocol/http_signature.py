"""Signed requests (RFC 9421): both ends cover the same parts, so that a request is worthless when
altered, sent elsewhere or sent again.

1. Covered: method, authority, target URI, Content-Type and Content-Digest (RFC 9530, SHA-256). The
   body is never empty.
2. `keyid` is the device id, `nonce` is issued by the server and valid once, `tag` names this
   application and version.
3. No clock checks `created`: the nonce is what makes a request fresh, so a device whose clock is
   wrong still works.
4. Exactly one spelling is written and accepted. So no structured fields (RFC 8941) are parsed, and
   each side takes a fifth of the time of http-message-signatures; tests hold the two against each
   other.
5. A header that either side reads may occur once. RFC 9421 joins repeated ones, and some programs
   use the first, others the last: the side that checks must see the one by which the other acts.
"""

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import InternalError, PeerError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

COMPONENTS = ("@method", "@authority", "@target-uri", "content-type", "content-digest")
LABEL = "aegis"
TAG = "aegisai-1"
REPLAY_NONCE = "Replay-Nonce"
"""Response header with the next nonce (RFC 8555 §6.5.1 uses the same name)."""
SINGLE_HEADERS = frozenset(
    {
        "authorization",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "etag",
        "expect",
        "host",
        "if-none-match",
        "location",
        "replay-nonce",
        "retry-after",
        "signature",
        "signature-input",
        "transfer-encoding",
        "x-model-metadata",
        "x-model-signature",
        "x-model-version",
    }
)
"""Lower-case names (rule 5)."""
_INPUT = re.compile(
    rf"{LABEL}=(?P<params>\({' '.join(f'{chr(34)}{name}{chr(34)}' for name in COMPONENTS)}\)"
    r";created=\d{1,12};keyid=\"(?P<keyid>[\w:.-]{1,128})\";alg=\"ecdsa-p256-sha256\""
    rf";nonce=\"(?P<nonce>[\w.=-]{{1,256}})\";tag=\"{TAG}\")",
    re.ASCII,
)
_SIGNATURE = re.compile(rf"{LABEL}=:(?P<value>[A-Za-z0-9+/]{{86}}==):")


@dataclass(frozen=True)
class SignatureParameters:
    """The parameters of a signature that differ between requests (RFC 9421 §2.3)."""

    device_id: str
    nonce: str
    created: int
    """Seconds since the epoch."""


@dataclass(frozen=True)
class SignedBy:
    """Who signed a request, and the nonce that the signature spends."""

    device_id: str
    nonce: str


def sign_request(
    method: str,
    authority: str,
    path: str,
    content_type: str,
    body: bytes,
    parameters: SignatureParameters,
    sign: Callable[[bytes], bytes],
) -> dict[str, str]:
    """Return the headers to send with `body`.

    `path` is the target with its query. `sign` returns 64 bytes, r ‖ s, over its argument (P-256,
    SHA-256). Raises InternalError UNSIGNABLE.
    """
    names = " ".join(f'"{name}"' for name in COMPONENTS)
    params = (
        f'({names});created={parameters.created};keyid="{parameters.device_id}"'
        f';alg="ecdsa-p256-sha256";nonce="{parameters.nonce}";tag="{TAG}"'
    )
    signature_input = f"{LABEL}={params}"
    if _INPUT.fullmatch(signature_input) is None:
        raise InternalError("UNSIGNABLE", "The request cannot be signed in the agreed form.")
    digest = _digest(body)
    signature = sign(_base(method, authority, path, content_type, digest, params))
    return {
        "Content-Type": content_type,
        "Content-Digest": digest,
        "Signature-Input": signature_input,
        "Signature": f"{LABEL}=:{base64.b64encode(signature).decode()}:",
    }


def verify_request(
    method: str,
    authority: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    key_of: "Callable[[str], EllipticCurvePublicKey | None]",
) -> SignedBy:
    """Check the signature of a request as received. The caller spends the nonce.

    `authority` is the Host header, `path` the target with its query, `headers` have lower-case
    names, `key_of` returns a device's key or None. Raises PeerError BAD_REQUEST_SIGNATURE.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    declared = _INPUT.fullmatch(headers.get("signature-input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if declared is None or signature is None:
        raise _bad("Signature-Input or Signature is missing or not in the agreed form")
    digest = _digest(body)
    if not hmac.compare_digest(headers.get("content-digest", "").encode(), digest.encode()):
        raise _bad("the body is not what was signed")
    base = _base(
        method, authority, path, headers.get("content-type", ""), digest, declared["params"]
    )
    raw = base64.b64decode(signature["value"])
    key = key_of(declared["keyid"])
    try:
        if key is None:
            raise _bad("no such device")
        key.verify(
            encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
            base,
            ECDSA(SHA256()),
        )
    except InvalidSignature:
        raise _bad("the signature is not the device's") from None
    return SignedBy(declared["keyid"], declared["nonce"])


def repeated_header(names: Iterable[str]) -> str:
    """Return the header of SINGLE_HEADERS that occurs more than once; "" if none does.

    `names` holds the name of each header line.
    """
    counts = Counter(name.lower() for name in names)
    return next((one for one, count in counts.items() if count > 1 and one in SINGLE_HEADERS), "")


def _digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _base(
    method: str, authority: str, path: str, content_type: str, digest: str, params: str
) -> bytes:
    """Build the signature base (RFC 9421 §2.5)."""
    host = normal_authority(authority)
    values = (method, host, f"https://{host}{path}", content_type, digest)
    lines = [f'"{name}": {value}' for name, value in zip(COMPONENTS, values, strict=True)]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode()


def normal_authority(authority: str) -> str:
    """Normalise `authority` (RFC 9421 §2.2.3): lower case, without the default port."""
    return authority.lower().removesuffix(":443")


def _bad(detail: str) -> PeerError:
    return PeerError(
        "BAD_REQUEST_SIGNATURE",
        "The request's signature is not valid.",
        "Nothing was changed.",
        detail,
    )
