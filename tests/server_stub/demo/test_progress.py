"""Progress is readable without a terminal, and only a plain yes is a yes."""

import io

import pytest
from rich.console import Console

from server_stub.demo.progress import DemoScreen
from tests.fakes.demo_report import report


def plain_console(width=80):
    return Console(file=io.StringIO(), force_terminal=False, width=width)


def test_without_a_terminal_steps_and_rounds_are_lines_of_at_most_80_columns():
    console = plain_console(40)
    with DemoScreen(console) as screen:
        screen.start_step("Round 1 of 48", 2)
        screen.advance()
        screen.show_round(report().rounds[0], 48)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "Round 1 of 48 …"
    assert lines[1].startswith("round 1 of 48: AUC 0.900, accuracy 90.0%, ε spent 8,")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("", False), ("sure\n", False)],
)
def test_only_a_plain_yes_is_a_yes(monkeypatch, typed, answer):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    console = plain_console()
    with DemoScreen(console) as screen:
        assert screen.ask("The notice [of] it", "Shall it?") is answer
    assert "The notice [of] it" in console.file.getvalue()
    assert "Shall it? [y/N]" in console.file.getvalue()
