from argparse import ArgumentTypeError

import pytest

from server_stub.cli.values import not_negative, positive, seconds, thousandths


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("900", 900), ("7s", 7), ("15m", 900), ("24h", 86_400), ("7d", 604_800)],
)
def test_durations_have_units(text, number):
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "m", "-1", "1.5h", "1w", "1 h", "٣", "1" * 10])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="expected a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1000), ("0.5", 500), ("8.0004", 8000), ("-1", -1000)]
)
def test_decimal_numbers_are_read_as_thousandths(text, number):
    assert thousandths(text) == number


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e308", "x", ""])
def test_what_is_no_number_is_refused(text):
    with pytest.raises((ArgumentTypeError, ValueError)):
        thousandths(text)


def test_counts_have_a_smallest_value():
    assert (positive("1"), not_negative("0")) == (1, 0)
    for read, text in ((positive, "0"), (not_negative, "-1"), (positive, "1.5")):
        with pytest.raises((ArgumentTypeError, ValueError)):
            read(text)
