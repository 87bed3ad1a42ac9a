"""One concept, one word, and the word is the field's own."""

from pathlib import Path

import pytest

from tests.shape import words
from tests.shape.source import PACKAGES, SourceFile, read

ROOT = Path(__file__).parents[2]


def test_no_line_of_the_program_uses_a_home_made_word():
    assert words.unjustified(read(ROOT, PACKAGES)) == []


def test_no_definition_of_the_program_has_a_replaced_name():
    assert words.replaced(read(ROOT, PACKAGES)) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("wall = Wall()", True),
        ("held = 1", True),
        ("text = 'cannot be told apart'", True),
        ("# the message came late", True),
        ("withheld = upheld = became = 1", False),
        ("class Wallet: ...", False),
        ("held = 1  # word: the kernel's own term", False),
        ("held = 1  # word:", True),
    ],
)
def test_a_word_is_found_as_a_whole_word_unless_the_line_says_why(line, found):
    assert bool(words.unjustified([SourceFile("agent/a.py", line)])) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("class Participation: ...", "Participation, say RoundRunner"),
        ("def problems_of(): ...", "problems_of, say verify_ledger"),
        ("def limits(floor): ...", "floor, say device_limits"),
        ("self.floor = 1", "floor, say device_limits"),
        ("for held in (): ...", "held, say stored"),
        ("class Value:\n    wanted: int", "wanted, say required_readings"),
        ("import math\nx = math.floor(1)\nwidget.look()\nwanted = x", ""),
    ],
)
def test_only_a_definition_has_a_replaced_name(text, found):
    assert found in " ".join(words.replaced([SourceFile("agent/a.py", text)]))
    assert bool(found) == bool(words.replaced([SourceFile("agent/a.py", text)]))


def test_a_file_is_a_definition():
    assert words.replaced([SourceFile("agent/fences.py", "X = 1\n")]) == [
        "agent/fences.py:1: fences, say sandbox rules"
    ]
