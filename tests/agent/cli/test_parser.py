"""The parser made from the table: it reaches every row and accepts no shortened option."""

import pytest

from agent.cli.commands import TABLE
from agent.cli.main import parser

REQUIRED = {
    "settings set": ["cpu.share_idle", "20"],
    "samples add": ["a.exe", "--label", "benign"],
    "samples mark": ["a.exe", "--label", "benign"],
    "samples import": ["rows.npz"],
    "sources on": ["clamav"],
    "sources off": ["clamav"],
    "sources add": ["programs"],
    "sources remove": ["programs"],
    "sources log": ["clamav.log"],
    "scan": ["a.exe"],
    "sent": ["0" * 32],
    "export": ["all.json"],
}


@pytest.mark.parametrize("command", TABLE, ids=lambda command: command.words)
def test_every_row_of_the_table_is_parsed_into_that_row(command):
    words = [*command.words.split(), *REQUIRED.get(command.words, [])]
    options = parser().parse_args([*words, "--json", "--home", "/h"])
    assert (options.command, options.json, options.home) == (command, True, "/h")


@pytest.mark.parametrize("command", TABLE, ids=lambda command: command.words)
def test_every_command_has_a_help_page_that_names_it(command, capsys):
    with pytest.raises(SystemExit) as raised:
        parser().parse_args([*command.words.split(), "--help"])
    page = capsys.readouterr().out
    assert raised.value.code == 0
    assert page.startswith(f"usage: aegis {command.words} ")
    assert command.help.split()[0] in page


@pytest.mark.parametrize(
    "words", [["ledger", "--verif"], ["status", "--js"], ["run", "--onc"], ["--versio"]]
)
def test_an_abbreviated_option_is_refused(words, capsys):
    with pytest.raises(SystemExit) as raised:
        parser().parse_args(words)
    assert raised.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_no_two_rows_have_the_same_words():
    words = [command.words for command in TABLE]
    assert len(set(words)) == len(words)
