"""What the server's answers become: strict values, or one of our errors.

The server's own wording is never shown to a person.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

from agent.errors import AegisError, OperatorActionError, PeerError, UserActionError
from agent.protocol.messages import RoundConfig, Task

MAX_JSON_BYTES = 256 * 1024
MAX_RETRY_AFTER_S = 24 * 3600

_NEW_INVITATION = "Ask the operator for a new invitation."
_LATER = "Nothing is to be done; AegisAI takes part in a later round."
_OPERATOR = "Tell the operator."
_KNOWN: dict[str, tuple[type[AegisError], str, str]] = {
    "TOKEN_UNKNOWN": (
        UserActionError,
        "The server does not know this invitation.",
        _NEW_INVITATION,
    ),
    "TOKEN_USED": (UserActionError, "This invitation has been used already.", _NEW_INVITATION),
    "TOKEN_EXPIRED": (UserActionError, "This invitation has expired.", _NEW_INVITATION),
    "BAD_CSR": (
        PeerError,
        "The server refused this device's request for a certificate.",
        _OPERATOR,
    ),
    "ROUND_CLOSED": (PeerError, "The round has closed.", _LATER),
    "ALREADY_CONTRIBUTED": (PeerError, "This device has already taken part in this round.", _LATER),
    "BAD_ENVELOPE": (PeerError, "The server could not read the update.", _OPERATOR),
    "WRONG_SHAPE": (PeerError, "The server refused the update's shape.", _OPERATOR),
    "NOT_IN_GROUP": (PeerError, "The round's group stands without this device.", _LATER),
    "REVOKED": (OperatorActionError, "This device's certificate was revoked.", _NEW_INVITATION),
    "REJECTED_IDENTITY": (
        OperatorActionError,
        "The server refuses this device's certificate.",
        _NEW_INVITATION,
    ),
    "CERTIFICATE_EXPIRED": (
        OperatorActionError,
        "This device's certificate has expired.",
        "AegisAI renews it by itself; else ask for a new invitation.",
    ),
    "NONCE_MISSING": (
        PeerError,
        "The server asks for a fresh request.",
        "AegisAI asks again by itself.",
    ),
    "NONCE_SPENT": (
        PeerError,
        "The server saw this request before.",
        "AegisAI asks again by itself.",
    ),
    "NONCE_EXPIRED": (
        PeerError,
        "The request took too long on its way.",
        "AegisAI asks again by itself.",
    ),
    "BAD_REQUEST_SIGNATURE": (PeerError, "The server refused the request's signature.", _OPERATOR),
    "NO_MODEL": (PeerError, "The server has no model yet.", "AegisAI asks again by itself."),
}


@dataclass(frozen=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes


class RetryLater(PeerError):
    """The server asks for patience; `retry_after_s` says how long."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "SERVER_BUSY",
            "The server is busy.",
            "AegisAI asks again by itself.",
            f"{retry_after_s} s",
        )
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Registration:
    """What enrolment gave."""

    device_id: str
    certificate_pem: str
    ca_pem: str
    erase_secret: str
    task: Task
    signing_key: str


@dataclass(frozen=True)
class Offer:
    """A signed statement of what the server would like."""

    status: str
    """"open" or "wait"."""
    next_poll_s: int
    task: Task
    model_version: int
    model_digest: str
    round: RoundConfig | None
    contributed: bool
    time: int
    """The server's clock, seconds since the epoch."""
    join_opens: int = 0
    join_closes: int = 0
    """When the round's group meets, by the server's clock; 0 and 0: no meeting is announced."""
    crl_pem: str = ""
    """The authority's signed list of revoked certificates, unchecked
    (agent.protocol.revocations)."""


@dataclass(frozen=True)
class Receipt:
    """The server's signed word that it holds an update."""

    task_id: str
    round_id: int
    device_id: str
    body_sha256: str
    bytes: int
    received_at: int
    signature: str


@dataclass(frozen=True)
class ModelDownload:
    """A model as it came, unchecked (agent.models.verify)."""

    metadata: bytes
    signature: str
    model: bytes


def problem(answer: Answer) -> AegisError:
    """The error that an answer with a status ≥ 400 stands for."""
    if answer.status in (429, 503):
        return RetryLater(_retry_after_s(answer))
    code = ""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        code = str(json.loads(answer.body)["code"])
    if code in _KNOWN:
        family, message, remedy = _KNOWN[code]
        return family(code, message, remedy, f"status {answer.status}")
    if answer.status in (401, 403):
        family, message, remedy = _KNOWN["REJECTED_IDENTITY"]
        return family("REJECTED_IDENTITY", message, remedy, f"status {answer.status} {code[:64]!r}")
    if answer.status == 422:
        return PeerError(
            "MESSAGE_REFUSED", "The server refused this device's message.", _OPERATOR, code[:64]
        )
    return PeerError(
        "SERVER_ERROR",
        f"The server answered with status {answer.status}.",
        "AegisAI tries again by itself.",
        code[:64],
    )


def json_object(answer: Answer) -> dict[str, Any]:
    """The body as a JSON object. Raises PeerError BAD_ANSWER."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise bad_answer("not JSON") from error
    if not isinstance(value, dict):
        raise bad_answer("not an object")
    return value


def checked(value: object, **kinds: type | UnionType) -> dict[str, Any]:
    """`value` as an object with exactly the fields of `kinds`, each of its type.

    Raises PeerError BAD_ANSWER.
    """
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise bad_answer(f"expected the fields {sorted(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(value[name], kind) or (isinstance(value[name], bool) and kind is int):
            raise bad_answer(f"{name}: expected {kind}")
    return value


def bad_answer(detail: str) -> PeerError:
    """The server said something that is not in the contract."""
    return PeerError(
        "BAD_ANSWER",
        "The server's answer could not be read.",
        "Nothing was changed. Tell the operator.",
        detail,
    )


def _retry_after_s(answer: Answer) -> int:
    text = answer.headers.get("Retry-After", "")
    return (
        min(int(text), MAX_RETRY_AFTER_S)
        if text.isascii() and text.isdigit() and len(text) < 10
        else 60
    )
