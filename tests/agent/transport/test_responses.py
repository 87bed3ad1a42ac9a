"""A response of the server becomes a JSON object or one of our errors, in our own words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError, OperatorActionError, PeerError, UserActionError
from agent.transport.responses import (
    DEFAULT_RETRY_AFTER_S,
    MAX_RETRY_AFTER_S,
    ExcludedError,
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


def response(status, body=b"{}", **headers):
    return HttpResponse(status, headers, body)


def coded(status, code):
    """A response in the form of the server's problems, with words that no person must see."""
    document = {
        "type": f"urn:aegisai:problem:{code}",
        "title": "Call +1 555 SCAM",
        "status": status,
        "code": code,
        "remedy": "pay",
    }
    return response(status, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("status", "code", "family", "expected"),
    [
        (403, "TOKEN_USED", UserActionError, "TOKEN_USED"),
        (403, "TOKEN_EXPIRED", UserActionError, "TOKEN_EXPIRED"),
        (409, "ALREADY_CONTRIBUTED", PeerError, "ALREADY_CONTRIBUTED"),
        (410, "ROUND_CLOSED", PeerError, "ROUND_CLOSED"),
        (403, "REVOKED", OperatorActionError, "REVOKED"),
        (403, "NOT_IN_GROUP", PeerError, "NOT_IN_GROUP"),
        (401, "unheard of", OperatorActionError, "REJECTED_IDENTITY"),
        (422, "ROSTER_SIGNATURE", PeerError, "MESSAGE_REFUSED"),
        (404, "unheard of", PeerError, "SERVER_ERROR"),
        (500, "unheard of", PeerError, "SERVER_ERROR"),
    ],
)
def test_a_problem_becomes_an_error_with_a_remedy_and_without_the_servers_words(
    status, code, family, expected
):
    error = problem(coded(status, code))
    assert (type(error), error.code) == (family, expected)
    assert error.remedy
    assert "SCAM" not in str(error) + error.detail
    assert "pay" not in str(error)


def excluded(**more):
    return response(403, json.dumps({"code": "EXCLUDED", "title": "x", **more}).encode())


@pytest.mark.parametrize(("rounds", "words"), [(1, "the next round:"), (4, "the next 4 rounds:")])
def test_an_excluded_device_learns_for_how_many_rounds_and_until_when(rounds, words):
    error = problem(excluded(rounds=rounds, until=1_800_000_000))
    assert isinstance(error, ExcludedError)
    assert (error.code, error.rounds, error.until) == ("EXCLUDED", rounds, 1_800_000_000)
    assert words in error.message
    assert "proof" in error.message


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rounds": 1},
        {"rounds": "1", "until": 5},
        {"rounds": True, "until": 5},
        {"rounds": 0, "until": 5},
        {"rounds": 10**9, "until": 5},
        {"rounds": 1, "until": -1},
        {"rounds": 1, "until": 10**12},  # a year that no calendar shows
        {"rounds": 1, "until": 10**30},
    ],
)
def test_p11_an_exclusion_without_a_sensible_end_is_a_bad_answer(more):
    assert problem(excluded(**more)).code == "BAD_ANSWER"


@given(status=st.integers(400, 599), body=st.binary(max_size=200))
def test_p11_any_body_becomes_an_error_with_message_and_remedy(status, body):
    error = problem(response(status, body))
    assert isinstance(error, AegisError)
    assert error.message.endswith(".")
    assert error.remedy.endswith(".")
    assert len(error.detail) < 100


@pytest.mark.parametrize(
    "body", [b'{"code": ["ROUND_CLOSED"]}', b'"ROUND_CLOSED"', b"[" * 100_000, b'{"code": null}']
)
def test_p11_a_code_in_the_wrong_place_counts_for_nothing(body):
    assert problem(response(410, body)).code == "SERVER_ERROR"


def test_a_long_code_of_the_server_is_cut_off_in_the_log():
    assert len(problem(coded(422, "X" * 10_000)).detail) == 64


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999", MAX_RETRY_AFTER_S),
        ("9999999999", DEFAULT_RETRY_AFTER_S),
        ("9" * 5000, DEFAULT_RETRY_AFTER_S),
        ("", DEFAULT_RETRY_AFTER_S),
        ("soon", DEFAULT_RETRY_AFTER_S),
        ("-5", DEFAULT_RETRY_AFTER_S),
        ("٧", DEFAULT_RETRY_AFTER_S),  # a digit, but not of ASCII
        ("1.5", DEFAULT_RETRY_AFTER_S),
    ],
)
def test_a_busy_server_says_when_to_try_again(status, header, seconds):
    error = problem(response(status, **{"Retry-After": header}))
    assert isinstance(error, RetryLater)
    assert (error.code, error.retry_after_s) == ("SERVER_BUSY", seconds)


def test_a_busy_server_that_names_no_time_is_tried_again_after_a_minute():
    assert problem(response(503)).retry_after_s == DEFAULT_RETRY_AFTER_S


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b"5"])
def test_p11_a_body_that_is_not_a_json_object_is_a_bad_answer(body):
    with pytest.raises(PeerError) as raised:
        json_object(response(200, body))
    assert raised.value.code == "BAD_ANSWER"


@given(value=st.dictionaries(st.text(max_size=5), JSON))
def test_any_json_object_is_read(value):
    assert json_object(response(200, json.dumps(value).encode())) == value


def test_an_object_with_exactly_the_named_fields_is_returned():
    value = {"number": 5, "text": "a", "either": None}
    assert checked(value, number=int, text=str, either=dict | None) == value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"number": 5, "more": 1},
        {"number": "5"},
        {"number": 5.0},
        {"number": True},
        {"number": None},
        [("number", 5)],
        None,
    ],
    ids=repr,
)
def test_an_object_with_other_fields_or_types_is_a_bad_answer(value):
    with pytest.raises(PeerError) as raised:
        checked(value, number=int)
    assert raised.value.code == "BAD_ANSWER"
