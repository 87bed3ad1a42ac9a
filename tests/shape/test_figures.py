"""The figures of a made-up checkout, their goals, and the printed table."""

import json

import pytest

from tests.shape import __main__ as command
from tests.shape.figures import GOALS, Figure, measure


@pytest.fixture
def small(checkout):
    return checkout(
        {
            "agent/__init__.py": "",
            "agent/a.py": "import agent.b\n",
            "agent/b.py": "import agent.a  # why\n" + "x = 1\n" * 3,
            "agent/deep/c.py": f"LONG = '{'x' * 120}'\n",
            "tests/agent/test_a.py": "def test_it():\n    assert True\n",
        }
    )


def test_a_checkout_is_measured(small):
    figures = {figure.key: figure for figure in measure(small)}
    values = {
        key: figures[key].value
        for key in (
            "root_files.agent",
            "root_files.ui",
            "cycles.import",
            "tests",
            "without_namesake",
            "longest_file",
        )
    }
    assert values == {
        "root_files.agent": 2,
        "root_files.ui": 0,
        "cycles.import": 2,
        "tests": 1,
        "without_namesake": 2,
        "longest_file": 4,
    }
    assert figures["cycles.import"].where == ["agent.a agent.b"]
    assert figures["comment_share.agent"].value == 16.67
    assert figures["longest_line"].where == ["agent/deep/c.py:1"]
    assert set(GOALS) <= set(figures)


def test_an_empty_checkout_has_figures_too(tmp_path):
    assert all(figure.is_met for figure in measure(tmp_path))


@pytest.mark.parametrize(
    ("key", "value", "met"),
    [
        ("classes", 0, True),
        ("classes", 1, False),
        ("root_files.agent", 9, True),
        ("tests", 10**6, True),
    ],
)
def test_a_goal_is_the_largest_value_that_passes(key, value, met):
    assert Figure(key, "", value).is_met is met


def test_the_table_shows_before_now_and_goal_and_names_what_misses_it():
    figures = [
        Figure("classes", "large classes", 2, ["a.py:A 21", "b.py:B 30"]),
        Figure("new", "a new figure", 1.5),
    ]
    head, missed, first, second, new = command.table(figures, {"classes": 8}).splitlines()
    assert head.split() == ["figure", "before", "now", "goal"]
    assert missed.split()[2:] == ["8", "2", "≤", "0", "missed"]
    assert [first.strip(), second.strip()] == ["a.py:A 21", "b.py:B 30"]
    assert new.split()[3:] == ["–", "1.5", "–"]


def test_the_command_fails_where_a_goal_is_missed_and_prints_json_that_another_run_reads(
    small, capsys
):
    assert command.main(["--json", str(small)]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["figures"]["cycles.import"] == 2
    assert printed["goals"] == GOALS
    assert printed["where"]["cycles.import"] == ["agent.a agent.b"]
    before = json.loads(command.BEFORE.read_text("utf-8"))["figures"]
    assert set(before) == set(printed["figures"])


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (f"x = '{'y' * 100}'", 106),
        (f"x = 1  # {'why ' * 30}", 129),
        (f"x = 1  # noqa: S608 - {'why ' * 30}", 5),
        (f"    {'y' * 200}", 0),
    ],
    ids=["code", "comment", "words for the linter", "no space"],
)
def test_columns_are_counted_as_the_linter_counts_them(checkout, line, columns):
    figures = {figure.key: figure.value for figure in measure(checkout({"agent/a.py": line}))}
    assert figures["longest_line"] == columns
