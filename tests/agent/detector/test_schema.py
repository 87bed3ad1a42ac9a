"""A row is accepted exactly when every value could stand in its header field."""

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES, FILE_HEADER_NAMES, validate_row
from agent.errors import AegisError

ROWS = st.tuples(*(st.integers(low, high) for low, high in FEATURE_RANGES.values()))
ZERO = (0,) * len(FEATURE_NAMES)


def refusal(row):
    with pytest.raises(AegisError) as raised:
        validate_row(row)
    assert raised.value.code == "BAD_ROW"
    return raised.value.message


@given(ROWS)
def test_a_row_within_its_ranges_is_accepted(row):
    assert validate_row(row) is None  # a refusal would be raised


def test_both_ends_of_every_range_are_allowed():
    assert validate_row([low for low, _ in FEATURE_RANGES.values()]) is None
    assert validate_row([high for _, high in FEATURE_RANGES.values()]) is None


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_p11_one_value_beyond_its_field_refuses_the_row_and_names_the_field(name):
    at, (low, high) = FEATURE_NAMES.index(name), FEATURE_RANGES[name]
    for value in (low - 1, high + 1, float(low), True, "0", None):
        assert f"({name}: expected an integer from {low} to {high})" in refusal(
            [*ZERO[:at], value, *ZERO[at + 1 :]]
        )


@pytest.mark.parametrize("length", [0, 28, 30])
def test_p11_another_length_is_refused(length):
    assert f"expected 29 values, got {length}" in refusal([0] * length)


def test_names_and_widths_are_those_of_the_pe_format():
    """pefile's structures are the other reading of the same specification."""
    widths = {"B": 8, "H": 16, "I": 32, "L": 32, "Q": 64}

    def fields(*formats):
        pairs = (entry.split(",")[:2] for form in formats for entry in form[1])
        return {name: widths[kind] for kind, name in pairs if kind in widths}

    header = fields(pefile.PE.__IMAGE_FILE_HEADER_format__)
    optional = fields(
        pefile.PE.__IMAGE_OPTIONAL_HEADER_format__, pefile.PE.__IMAGE_OPTIONAL_HEADER64_format__
    )
    for name, (_, high) in FEATURE_RANGES.items():
        assert (header if name in FILE_HEADER_NAMES else optional)[name] == high.bit_length()
