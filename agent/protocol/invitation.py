"""The invitation: one line of text that a person pastes, with all that a device needs before its
first contact.

Form: `aegis1.<base64url(zlib(canonical JSON))>.<first 8 hex digits of its SHA-256>`. The checksum
detects copying errors. The JSON is `{"invitation": {...}, "signature": hex}`, signed by the key
that it carries: this shows that the parts belong together, not who made them. Trust comes from the
channel through which the person received the invitation.
"""

import base64
import binascii
import hashlib
import json
import zlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.errors import PeerError, UserActionError
from agent.protocol.canonical import canonical
from agent.protocol.messages import Mode
from agent.protocol.signing import Context, public_hex, sign, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "aegis1."
MAX_TEXT_CHARS = 16 * 1024
"""A real invitation has about 1,500 characters."""
MAX_JSON_BYTES = 32 * 1024
MAX_FIELD_CHARS = 8 * 1024


@dataclass(frozen=True)
class Operator:
    """Who asks. Shown to the person before they agree."""

    name: str
    contact: str
    recipients: str
    retention: str


@dataclass(frozen=True)
class PrivacyFigures:
    """The figures of the notice. The device's own bounds also apply."""

    mode: Mode
    epsilon_milli: int
    """ε per period, in thousandths."""
    delta_inverse: int
    """1/δ."""
    period_days: int
    lifetime_epsilon_milli: int


@dataclass(frozen=True)
class Invitation:
    """Where to enrol, with which token, and whom to trust."""

    server: str
    """"https://host[:port]", no path."""
    token: str
    ca_pem: str
    """The one certificate that must have issued the server's TLS certificate."""
    signing_key: str
    """Ed25519 public key of offers, receipts and models, hex."""
    task_id: str
    root_sha256: str
    """SHA-256 of the first root of the model repository, hex; "" where there is none."""
    operator: Operator
    privacy: PrivacyFigures

    @property
    def ca_sha256(self) -> str:
        """Digest of the pinned authority, which a person can compare."""
        return hashlib.sha256(self.ca_pem.encode()).hexdigest()


def format_invitation(invitation: Invitation, signing_key: "Ed25519PrivateKey") -> str:
    """Write the text form.

    Raises ValueError when the invitation names another key than `signing_key`, or a field is out of
    range.
    """
    if public_hex(signing_key) != invitation.signing_key:
        raise ValueError("the invitation names another signing key")
    value = asdict(invitation)
    _check(_from_json(value))
    body = canonical(
        {"invitation": value, "signature": sign(signing_key, Context.INVITATION, value)}
    )
    packed = base64.urlsafe_b64encode(zlib.compress(body, 9)).decode().rstrip("=")
    return f"{PREFIX}{packed}.{_checksum(packed)}"


def parse_invitation(text: str) -> Invitation:
    """Read the text form. Ignores white space and line breaks, which mail programs insert.

    Raises UserActionError INVITATION_BAD, INVITATION_VERSION.
    """
    if len(text) > 2 * MAX_TEXT_CHARS:
        raise _bad("too long")
    compact = "".join(text.split())
    if compact.startswith("aegis") and "." in compact and not compact.startswith(PREFIX):
        raise UserActionError(
            "INVITATION_VERSION",
            "This invitation is for another version of AegisAI.",
            "Install the newest version and try again.",
        )
    if not compact.startswith(PREFIX) or len(compact) > MAX_TEXT_CHARS:
        raise _bad("expected the prefix aegis1.")
    packed, _, checksum = compact.removeprefix(PREFIX).rpartition(".")
    if checksum != _checksum(packed):
        raise _bad("the checksum differs")
    try:
        outer = json.loads(_unpack(packed))
        if not isinstance(outer, dict) or set(outer) != {"invitation", "signature"}:
            raise ValueError("expected invitation and signature")
        invitation = _from_json(outer["invitation"])
        _check(invitation)
        verify(
            invitation.signing_key, Context.INVITATION, outer["invitation"], str(outer["signature"])
        )
    except (ValueError, TypeError, RecursionError, PeerError) as error:
        raise _bad(str(error)) from error
    return invitation


def _unpack(packed: str) -> bytes:
    """Undo base64 and zlib within MAX_JSON_BYTES. Raises ValueError."""
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        inflate = zlib.decompressobj()
        body = inflate.decompress(raw, MAX_JSON_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("not readable") from error
    if not inflate.eof:
        raise ValueError("too long or cut off")
    return body


def _from_json(value: object) -> Invitation:
    whole = _fields(Invitation, value)
    privacy = _fields(PrivacyFigures, whole["privacy"])
    privacy["mode"] = Mode(privacy["mode"])
    return Invitation(
        **{
            **whole,
            "operator": Operator(**_fields(Operator, whole["operator"])),
            "privacy": PrivacyFigures(**privacy),
        }
    )


def _fields(kind: type, value: object) -> dict[str, Any]:
    """`value` as the fields of `kind`, each of its type. Raises ValueError."""
    if not isinstance(value, dict) or set(value) != {field.name for field in fields(kind)}:
        raise ValueError(f"unexpected fields in {kind.__name__}")
    for field in fields(kind):
        item = value[field.name]
        expected = int if field.type is int else str if field.type in (str, Mode) else dict
        if not isinstance(item, expected) or isinstance(item, bool):
            raise ValueError(f"{field.name}: unexpected type")
        if isinstance(item, str) and len(item) > MAX_FIELD_CHARS:
            raise ValueError(f"{field.name}: too long")
    return dict(value)


def _check(invitation: Invitation) -> None:
    check_server(invitation.server)
    if (
        not 8 <= len(invitation.token) <= 256
        or not invitation.token.isascii()
        or not invitation.token.isprintable()
    ):
        raise ValueError("token: expected 8 to 256 printable characters")
    if invitation.ca_pem.count("-----BEGIN CERTIFICATE-----") != 1:
        raise ValueError("ca_pem: expected exactly one certificate")
    for name, digest in (
        ("signing_key", invitation.signing_key),
        ("root_sha256", invitation.root_sha256 or "0" * 64),
    ):
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ValueError(f"{name}: expected 32 bytes in hex")
    figures = invitation.privacy
    if not 1 <= figures.epsilon_milli <= figures.lifetime_epsilon_milli <= 1_000_000:
        raise ValueError("privacy: expected 0 < ε ≤ lifetime ε ≤ 1000")
    if not 1000 <= figures.delta_inverse <= 10**15 or not 1 <= figures.period_days <= 36_500:
        raise ValueError("privacy: δ or period out of range")
    if not invitation.operator.name.strip() or not invitation.operator.contact.strip():
        raise ValueError("operator: name and contact are needed")
    if not all(text.isprintable() for text in asdict(invitation.operator).values()):
        raise ValueError("operator: control characters")


def check_server(server: str) -> None:
    """Raise ValueError unless `server` is "https://host[:port]" and nothing else."""
    parts = urlsplit(server)
    if (
        parts.scheme != "https"
        or not parts.hostname
        or parts.path
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError("server: expected https://host[:port]")
    _ = parts.port  # raises ValueError when it is not a port


def _checksum(packed: str) -> str:
    return hashlib.sha256(packed.encode()).hexdigest()[:8]


def _bad(detail: str) -> UserActionError:
    return UserActionError(
        "INVITATION_BAD",
        "This invitation cannot be read.",
        "Copy the whole text again, from aegis1. to its end, or ask for a new one.",
        detail,
    )
