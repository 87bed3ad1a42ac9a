"""The parser that the table describes: it reaches every row and takes no abbreviated option."""

import pytest

from server_stub.cli.commands import TABLE
from server_stub.cli.main import parser
from tests.fakes.server_commands import INIT

REQUIRED = {
    "init": [*INIT[1:]],
    "devices revoke": ["urn:uuid:1"],
    "devices release": ["urn:uuid:1"],
    "devices show": ["urn:uuid:1"],
    "plan": ["--devices", "100"],
    "rounds show": ["1"],
    "model publish": ["model.safetensors"],
    "evaluate": ["--data", "rows.npz"],
    "model train": ["--data", "rows.npz", "--out", "detector"],
    "model calibrate": ["--data", "rows.npz"],
    "model evaluate": ["--data", "rows.npz"],
    "rows add": ["rows.npz"],
}


@pytest.mark.parametrize("command", TABLE, ids=lambda command: command.words)
def test_every_row_of_the_table_is_parsed_into_that_row(command):
    words = [*command.words.split(), *REQUIRED.get(command.words, [])]
    options = parser().parse_args([*words, "--json", "--home", "/h"])
    assert (options.command, options.json, str(options.home)) == (command, True, "/h")


@pytest.mark.parametrize("command", TABLE, ids=lambda command: command.words)
def test_every_option_has_a_help_text(command, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command.words.split(), "--help"])
    page = capsys.readouterr().out
    assert ended.value.code == 0
    assert page.startswith(f"usage: aegis-server {command.words} ")
    assert all(one.settings.get("help") for one in command.arguments)


@pytest.mark.parametrize("command", TABLE, ids=lambda command: command.words)
def test_an_abbreviated_option_is_refused(command, capsys):
    words = [*command.words.split(), *REQUIRED.get(command.words, [])]
    for short in ("--hom=/h", "--js", "--he"):
        with pytest.raises(SystemExit) as refused:
            parser().parse_args([*words, short])
        assert refused.value.code == 2
        assert short in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["token"], ["nonsense"], ["--he"]])
def test_words_that_name_no_command_end_with_two(words, capsys):
    with pytest.raises(SystemExit) as refused:
        parser().parse_args(words)
    assert refused.value.code == 2
    assert "usage: aegis-server" in capsys.readouterr().err


def test_no_two_rows_have_the_same_words():
    words = [command.words for command in TABLE]
    assert len(set(words)) == len(words)


def test_the_home_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("AEGIS_SERVER_HOME", str(tmp_path))
    assert parser().parse_args(["stats"]).home == tmp_path
