"""Whatever a server answers becomes a strict value or one of our errors, in our own words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.transport.responses import (
    MAX_RETRY_AFTER_S,
    HttpResponse,
    RetryLater,
    checked,
    json_object,
    problem,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


def response(status, code="", body=None, **headers):
    content = (
        json.dumps({"code": code, "title": "<b>server</b>"}).encode() if body is None else body
    )
    return HttpResponse(status, headers, content)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "TOKEN_USED", "TOKEN_USED"),
        (403, "REVOKED", "REVOKED"),
        (410, "ROUND_CLOSED", "ROUND_CLOSED"),
        (401, "SOMETHING_NEW", "REJECTED_IDENTITY"),
        (403, "", "REJECTED_IDENTITY"),
        (422, "ROSTER_SIGNATURE", "MESSAGE_REFUSED"),
        (400, "SOMETHING_NEW", "SERVER_ERROR"),
        (500, "SERVER_ERROR", "SERVER_ERROR"),
        (418, "", "SERVER_ERROR"),
    ],
)
def test_known_problems(status, code, expected):
    error = problem(response(status, code))
    assert (error.code, bool(error.message), bool(error.remedy)) == (expected, True, True)


@given(st.integers(400, 599), JSON | st.binary(max_size=60))
def test_p11_any_body_becomes_an_error_and_none_of_its_text_is_shown(status, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = problem(HttpResponse(status, {}, content))
    assert isinstance(error, AegisError)
    assert len(error.detail) < 200


def test_the_servers_own_words_stay_out_of_the_message():
    for status in (400, 403, 422, 500):
        assert "<b>" not in str(problem(response(status, "<b>bold</b>")))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        ("999999999", MAX_RETRY_AFTER_S),
        ("9999999999", 60),
        ("-5", 60),
        ("1.5", 60),
        ("soon", 60),
        ("³", 60),
        ("", 60),
    ],
)
def test_p11_patience_is_bounded_and_defaults_to_a_minute(status, header, seconds):
    error = problem(response(status, "NO_MODEL", **{"Retry-After": header}))
    assert isinstance(error, RetryLater)
    assert (error.code, error.retry_after_s) == ("SERVER_BUSY", seconds)


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b"\xff", b"[" * 100_000])
def test_p11_what_is_no_object_is_refused(body):
    with pytest.raises(AegisError) as raised:
        json_object(HttpResponse(200, {}, body))
    assert raised.value.code == "BAD_ANSWER"


@given(st.dictionaries(st.text(max_size=5), JSON))
def test_an_object_is_read(value):
    assert json_object(HttpResponse(200, {}, json.dumps(value).encode())) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"size": 1},
        {"size": 1, "name": "a", "more": 1},
        {"size": True, "name": "a"},
        {"size": 1.0, "name": "a"},
        {"size": "1", "name": "a"},
        {"size": 1, "name": None},
    ],
    ids=str,
)
def test_p11_fields_and_their_types_are_exact(value):
    with pytest.raises(AegisError) as raised:
        checked(value, size=int, name=str)
    assert raised.value.code == "BAD_ANSWER"


def test_a_value_that_fits_is_given_back():
    assert checked({"size": 1, "name": "a"}, size=int, name=str) == {"size": 1, "name": "a"}
    assert checked({"on": True, "round": None}, on=bool, round=dict | None)["on"] is True
