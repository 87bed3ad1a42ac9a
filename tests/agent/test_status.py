"""A status survives the channel, and what is no status is one clear error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.status import Status, epsilon_in_words, rounded_up, share_in_words
from tests.fakes import agent_client

FULL = agent_client.waiting()


def test_there_and_back():
    assert Status.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"state": "dreaming"},
        {"consent": None},
        {"consent": {}},
        {"budget": []},
        {"model": {"version": 1}},
        {"operator": "somebody"},
        {"reasons": [{"code": "NO_SUCH_REASON", "text": ""}]},
        {"reasons": ["ON_BATTERY"]},
        {"reasons": 5},
        {"readings": [5]},
        {"readings": "text"},
        {"sent": None},
        {"work": 5},
        {"last_stop": 5},
        {"notes": None},
    ],
    ids=str,
)
def test_p11_another_form_is_refused(change):
    with pytest.raises(AegisError) as raised:
        Status.from_json({**FULL.to_json(), **change})
    assert raised.value.code == "BAD_STATUS"


@given(st.sampled_from(sorted(FULL.to_json())))
def test_p11_a_status_without_one_of_its_views_is_refused_or_filled_in(name):
    value = {key: item for key, item in FULL.to_json().items() if key != name}
    try:
        found = Status.from_json(value).to_json().keys()
    except AegisError as error:
        found = error.code
    assert found in ("BAD_STATUS", FULL.to_json().keys())


@pytest.mark.parametrize("value", [None, [], "status", 5])
def test_p11_what_is_no_object_is_refused(value):
    with pytest.raises(AegisError) as raised:
        Status.from_json(value)
    assert raised.value.code == "BAD_STATUS"


@pytest.mark.parametrize(
    ("percent", "cores", "text"),
    [
        (25, 8, "25 % of one core = 3.1 % of this computer"),
        (50, 2, "50 % of one core = 25 % of this computer"),
        (10, 10, "10 % of one core = 1 % of this computer"),
        (9.96, 1, "10 % of one core = 10 % of this computer"),
    ],
)
def test_a_share_is_said_of_one_core_and_of_the_computer(percent, cores, text):
    assert share_in_words(percent, cores) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (1.1, "1.1"),
        (0.41801, "0.419"),
        (0.0123412, "0.0124"),
        (1.2301, "1.24"),
        (9.991, "10"),
        (12.31, "12.4"),
        (1234.5, "1240"),
        (1e-7, "0.0000001"),
    ],
)
def test_p5_epsilon_in_words_is_never_less_than_it_is(value, text):
    assert epsilon_in_words(value) == text


def test_an_epsilon_that_nobody_knows_is_not_a_number():
    assert epsilon_in_words(None) == "unknown"


@given(st.floats(0, 1e6), st.integers(0, 6))
def test_p5_a_rounded_figure_is_never_below_the_true_one_and_close_to_it(value, decimals):
    assert value <= rounded_up(value, decimals) < value + 1.001 * 10**-decimals
    assert value <= float(epsilon_in_words(value)) <= max(value * 1.0101, 1e-300)
