"""One value has one byte form, whoever writes it, and what has none is refused."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.canonical import canonical, digest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, -3]}, '{"a":[true,null,-3],"b":1}'),
        ({"é": "ü\n"}, '{"é":"ü\\n"}'),
        ({"a": {}, "A": []}, '{"A":[],"a":{}}'),
        ((1, 2), "[1,2]"),
        (2**80, "1208925819614629174706176"),
    ],
)
def test_known_forms(value, expected):
    assert canonical(value) == expected.encode()
    assert digest(value) == hashlib.sha256(expected.encode()).hexdigest()


@given(VALUES)
def test_a_reader_gets_the_value_back_and_writes_the_same_bytes(value):
    written = canonical(value)
    assert json.loads(written) == value
    assert canonical(json.loads(written)) == written


@given(st.dictionaries(TEXT, st.integers(), min_size=2, max_size=6))
def test_the_order_in_which_a_map_was_filled_does_not_show(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), b"bytes", {1: "key"}, {"a": [{"b": 0.5}]}, {1, 2}, [object()]]
)
def test_p11_what_two_machines_could_write_differently_is_refused(value):
    with pytest.raises(TypeError, match="canonical value"):
        canonical(value)


def test_p11_half_a_character_is_refused():
    with pytest.raises(ValueError, match="surrogates"):
        canonical("\ud800")
