"""ε in the window: the digits of every other surface, in the person's locale."""

import pytest

from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.epsilon_text import epsilon_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.04, "1.04"), (10.4, "10.4"), (10.41, "10.5"), (0.00123, "0.00123"), (3.0, "3"), (0, "0")],
)
def test_p5_epsilon_has_three_digits_and_is_rounded_up(value, text):
    assert epsilon_text(value, PlainFormatter()) == text


def test_an_unknown_epsilon_says_so():
    assert epsilon_text(None, PlainFormatter()) == "unknown"
