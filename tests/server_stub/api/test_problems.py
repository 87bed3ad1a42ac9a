"""Problem documents (RFC 9457): status, type and fixed sentences, and nothing of the request."""

import json

import pytest

from agent.errors import AegisError
from server_stub.api import problems
from server_stub.errors import BusyError

FAMILIES = AegisError.__subclasses__()


@pytest.mark.parametrize(("code", "status"), problems.STATUS.items())
def test_every_code_has_its_status_and_its_own_type(code, status):
    error = FAMILIES[0](code, "What happened.", "What to do.", "a secret for the log")
    answered, headers, body = problems.response(error)
    assert answered == status
    assert headers == {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    assert json.loads(body) == {
        "type": f"urn:aegisai:problem:{code.lower().replace('_', '-')}",
        "title": "What happened.",
        "status": status,
        "detail": "What happened.",
        "code": code,
        "remedy": "What to do.",
    }


def test_a_code_without_a_status_is_a_bad_request():
    assert problems.status_of("SOMETHING_NEW") == 400
    assert json.loads(problems.body("SOMETHING_NEW", "x", ""))["status"] == 400


def test_who_asks_too_much_is_told_when_to_come_back():
    status, headers, body = problems.response(BusyError("TOO_MANY", "Too many requests.", 7))
    assert (status, headers["Retry-After"]) == (429, "7")
    assert "7 seconds" in json.loads(body)["remedy"]


def test_statuses_are_errors_and_types_are_unique():
    assert all(400 <= status < 600 for status in problems.STATUS.values())
    types = {json.loads(problems.body(code, "", ""))["type"] for code in problems.STATUS}
    assert len(types) == len(problems.STATUS)
