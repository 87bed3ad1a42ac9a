"""The command line of `aegis demo`; that it runs is shown by tests/e2e/test_demo.py."""

import pytest

from agent.cli.main import main
from agent.errors import UserActionError
from server_stub.demo.command import FullAgentPart, command
from server_stub.demo.full_agent import Learnt


def test_a_file_that_is_no_table_is_refused_before_anything_starts(tmp_path, capsys):
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(UserActionError) as caught:
        command(["--data", str(tmp_path / "x.npz"), "--chart", str(tmp_path / "demo.png")])
    assert caught.value.code == "BAD_TABLE"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("word", ["--he", "--help"])
def test_asking_for_help_prints_it_and_starts_nothing(capsys, word):
    with pytest.raises(SystemExit) as ended:
        main(["demo", word])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: aegis demo")
    assert "--he " not in printed


@pytest.mark.parametrize("word", ["--dev", "--round", "--hel", "--js"])
def test_abbreviated_options_are_refused(capsys, word):
    with pytest.raises(SystemExit) as ended:
        main(["demo", word, "3"])
    assert ended.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_the_report_says_what_the_full_agent_did_or_why_it_did_nothing():
    part = FullAgentPart(None, "Consent: simulated.", Learnt(240, 10))
    assert "learned from 240 rows of the table and 10 real programs" in part.sentence(7, 8)
    assert "sent 7 of 8 updates" in part.sentence(7, 8)
    assert FullAgentPart(None, "").sentence(0, 8) == "No full agent took part."
    denied = FullAgentPart(None, "", obstacle="IT does not allow it.")
    assert denied.sentence(0, 8) == "No full agent took part: IT does not allow it."
