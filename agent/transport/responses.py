"""Reads a response of the server as a JSON object or one of our errors.

A person never sees the server's own wording.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

from agent.errors import AegisError, OperatorActionError, PeerError, UserActionError
from agent.protocol.messages import MAX_TIME
from agent.store.ledger_errors import forked_error

MAX_JSON_BYTES = 256 * 1024
MAX_RETRY_AFTER_S = 24 * 3600
MAX_EXCLUDED_ROUNDS = 10_000
DEFAULT_RETRY_AFTER_S = 60
"""When the server names none, or something unreadable."""

_NEW_INVITATION = "Ask the operator for a new invitation."
_RETRY = "AegisAI tries again automatically."
_LATER = "No action is needed; AegisAI takes part in a later round."
_OPERATOR = "Tell the operator."


@dataclass(frozen=True)
class _Problem:
    """What a code of the server means for a person."""

    family: type[AegisError]
    message: str
    remedy: str


_PROBLEMS = {
    "TOKEN_UNKNOWN": _Problem(
        UserActionError, "The server does not know this invitation.", _NEW_INVITATION
    ),
    "TOKEN_USED": _Problem(
        UserActionError, "This invitation has already been used.", _NEW_INVITATION
    ),
    "TOKEN_EXPIRED": _Problem(UserActionError, "This invitation has expired.", _NEW_INVITATION),
    "BAD_CSR": _Problem(
        PeerError, "The server refused this device's request for a certificate.", _OPERATOR
    ),
    "ROUND_CLOSED": _Problem(PeerError, "The round has closed.", _LATER),
    "ALREADY_CONTRIBUTED": _Problem(
        PeerError, "This device has already taken part in this round.", _LATER
    ),
    "BAD_ENVELOPE": _Problem(PeerError, "The server could not read the update.", _OPERATOR),
    "WRONG_SHAPE": _Problem(
        PeerError, "The server refused the update: it does not fit the round.", _OPERATOR
    ),
    "NOT_IN_GROUP": _Problem(PeerError, "This device is not in a group of the round.", _LATER),
    "REVOKED": _Problem(
        OperatorActionError, "This device's certificate was revoked.", _NEW_INVITATION
    ),
    "REJECTED_IDENTITY": _Problem(
        OperatorActionError, "The server refuses this device's certificate.", _NEW_INVITATION
    ),
    "CERTIFICATE_EXPIRED": _Problem(
        OperatorActionError,
        "This device's certificate has expired.",
        "AegisAI renews it automatically; if that fails, ask for a new invitation.",
    ),
    "NONCE_MISSING": _Problem(PeerError, "The server asked for a fresh request.", _RETRY),
    "NONCE_SPENT": _Problem(PeerError, "The server has seen this request before.", _RETRY),
    "NONCE_EXPIRED": _Problem(PeerError, "The request took too long to arrive.", _RETRY),
    "BAD_REQUEST_SIGNATURE": _Problem(
        PeerError, "The server refused the request's signature.", _OPERATOR
    ),
    "LEDGER_BEHIND": _Problem(
        PeerError, "The server asked for earlier heads of this device's ledger.", _RETRY
    ),
    "LEDGER_UNSHOWN": _Problem(
        PeerError, "The server asked for the head of this device's ledger.", _OPERATOR
    ),
    "NO_MODEL": _Problem(PeerError, "The server has no model yet.", _RETRY),
}


@dataclass(frozen=True)
class HttpResponse:
    """A response, read to the end."""

    status: int
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes


class RetryLater(PeerError):
    """The server is busy; `retry_after_s` says how long to wait."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("SERVER_BUSY", "The server is busy.", _RETRY, f"{retry_after_s} s")
        self.retry_after_s = retry_after_s


class ExcludedError(OperatorActionError):
    """The server excludes this device from rounds, by a proof or by a statistic over many."""

    def __init__(self, rounds: int, until: int) -> None:
        count = "the next round" if rounds == 1 else f"the next {rounds} rounds"
        super().__init__(
            "EXCLUDED",
            f"The operator's server excluded this device from {count}: by a proof, or by a"
            " statistic over many rounds, it holds that this device spoiled sums.",
            "Nothing is sent or charged meanwhile. If you did nothing, tell the operator: another"
            " program may use this device's key.",
        )
        self.rounds = rounds
        self.until = until
        """When it ends at the latest, in seconds since the epoch."""


class ReservedError(PeerError):
    """Another copy of this device may be sealing an update just now, or this one was restarted."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "LEDGER_RESERVED",
            "The server waits for an update that this device, or a copy of it, began.",
            _RETRY,
            f"{retry_after_s} s",
        )
        self.retry_after_s = retry_after_s


def problem(response: HttpResponse) -> AegisError:
    """Return the error for a response with a status of 400 or more."""
    status = response.status
    if status in (429, 503):
        return RetryLater(_retry_after_s(response))
    code, document = "", {}
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(response.body)
        code = str(document["code"])
    if code == "EXCLUDED":
        return _excluded(document)
    if code == "LEDGER_FORKED":
        return forked_error()
    if code == "LEDGER_RESERVED":
        return ReservedError(_retry_after_s(response))
    if code in _PROBLEMS:
        return _known(code, f"status {status}")
    if status in (401, 403):
        return _known("REJECTED_IDENTITY", f"status {status} {code[:64]!r}")
    if status == 422:
        return PeerError(
            "MESSAGE_REFUSED", "The server refused this device's message.", _OPERATOR, code[:64]
        )
    return PeerError(
        "SERVER_ERROR", f"The server answered with status {status}.", _RETRY, code[:64]
    )


def _excluded(document: dict[str, Any]) -> AegisError:
    rounds, until = document.get("rounds"), document.get("until")
    if type(rounds) is not int or type(until) is not int:
        return bad_response("an exclusion without an end")
    if not (0 < rounds <= MAX_EXCLUDED_ROUNDS and 0 < until <= MAX_TIME):
        return bad_response("an exclusion out of range")
    return ExcludedError(rounds, until)


def _known(code: str, detail: str) -> AegisError:
    known = _PROBLEMS[code]
    return known.family(code, known.message, known.remedy, detail)


def json_object(response: HttpResponse) -> dict[str, Any]:
    """Return the body as a JSON object. Raises PeerError BAD_ANSWER."""
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise bad_response("not JSON") from error
    if not isinstance(value, dict):
        raise bad_response("not an object")
    return value


def checked(value: object, **kinds: type | UnionType) -> dict[str, Any]:
    """Return `value` as an object with exactly the fields of `kinds`, each of its type.

    Raises PeerError BAD_ANSWER.
    """
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise bad_response(f"expected the fields {sorted(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(value[name], kind) or (isinstance(value[name], bool) and kind is int):
            raise bad_response(f"{name}: expected {kind}")
    return value


def bad_response(detail: str) -> PeerError:
    """Return the error for a response outside the contract."""
    return PeerError(
        "BAD_ANSWER",
        "The server's response could not be read.",
        "Nothing was changed. Tell the operator.",
        detail,
    )


def _retry_after_s(response: HttpResponse) -> int:
    text = response.headers.get("Retry-After", "")
    # Ten digits and more would be years; a number of any length would cost time to parse.
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return DEFAULT_RETRY_AFTER_S
    return min(int(text), MAX_RETRY_AFTER_S)
