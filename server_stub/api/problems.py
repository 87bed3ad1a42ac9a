"""Converts errors to RFC 9457 problem documents and gives each code its HTTP status."""

import json

from agent.errors import AegisError
from server_stub.errors import BusyError, ExcludedError

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "BAD_MESSAGE": 400,
    "BAD_ENVELOPE": 400,
    "BAD_CSR": 400,
    "NONCE_MISSING": 400,
    "NONCE_EXPIRED": 400,
    "NONCE_SPENT": 400,
    "REPEATED_HEADER": 400,
    "NO_IDENTITY": 401,
    "REJECTED_IDENTITY": 401,
    "BAD_REQUEST_SIGNATURE": 401,
    "TOKEN_UNKNOWN": 403,
    "TOKEN_USED": 403,
    "TOKEN_EXPIRED": 403,
    "REVOKED": 403,
    "CERTIFICATE_EXPIRED": 403,
    "ERASE_SECRET": 403,
    "EXCLUDED": 403,
    "NOT_IN_GROUP": 403,
    "NOT_FOUND": 404,
    "NO_MODEL": 503,
    "NOT_IN_LOG": 404,
    "METHOD": 405,
    "TOO_SLOW": 408,
    "ALREADY_CONTRIBUTED": 409,
    "LEDGER_FORKED": 409,
    "LEDGER_BEHIND": 409,
    "LEDGER_UNSHOWN": 409,
    "LEDGER_RESERVED": 409,
    "ROUND_CLOSED": 410,
    "TOO_LARGE": 413,
    "WRONG_TYPE": 415,
    "WRONG_SHAPE": 422,
    "WRONG_CONTEXT": 422,
    "OUT_OF_TURN": 422,
    "ROSTER_CERTIFICATE": 422,
    "ROSTER_REVOKED": 422,
    "ROSTER_SIGNATURE": 422,
    "ROSTER_DUPLICATE": 422,
    "ROSTER_KEY": 422,
    "SHARES_SIGNATURE": 422,
    "COMPLAINT_SIGNATURE": 422,
    "MASKED_SIGNATURE": 422,
    "CONSISTENCY_SIGNATURE": 422,
    "SURVIVORS_TWICE": 422,
    "SHARE_FALSE": 422,
    "WRONG_LENGTH": 422,
    "SUM_OUT_OF_RANGE": 422,
    "TOO_MANY": 429,
    "SERVER_ERROR": 500,
    "CA_UNREACHABLE": 503,
    "CANNOT_STORE": 503,
}


def status_of(code: str) -> int:
    """The HTTP status of an error code; 400 for one that is not listed."""
    return STATUS.get(code, 400)


def body(code: str, message: str, remedy: str, **more: int) -> bytes:
    """Build the problem document. It holds fixed sentences and numbers, nothing from the request.

    `more`: further members (RFC 9457 §3.2).
    """
    status = status_of(code)
    name = code.lower().replace("_", "-")
    document = {
        "type": f"urn:aegisai:problem:{name}",
        "title": message,
        "status": status,
        "detail": message,
        "code": code,
        "remedy": remedy,
        **more,
    }
    return json.dumps(document).encode()


def response(error: AegisError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for an error."""
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(error.retry_after_s)
    more = {}
    if isinstance(error, ExcludedError):
        more = {"rounds": error.rounds, "until": error.until}
    return status_of(error.code), headers, body(error.code, error.message, error.remedy, **more)
