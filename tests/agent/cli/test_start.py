"""The first thing that a command does: a scan starts its worker, and nothing else does."""

import json

import psutil
import pytest

from agent.cli.start import main
from agent.supervisor import early_child
from tests.fakes.installation import PROGRAMS


@pytest.fixture(autouse=True)
def started(tmp_path, monkeypatch):
    """The workers that were started early."""
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    children, start = [], early_child.start_for_scan
    monkeypatch.setattr(
        early_child, "start_for_scan", lambda: children.append(start()) or children[-1]
    )
    yield children
    assert not any(psutil.pid_exists(child.pid) for child in children)


def test_a_scan_is_answered_by_the_worker_that_started_first(started, capsys):
    assert main(["scan", str(PROGRAMS[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["benign"] == 1
    assert len(started) == 1


def test_p2_a_scan_that_is_not_understood_leaves_no_worker(started, capsys):
    with pytest.raises(SystemExit):
        main(["scan"])
    assert len(started) == 1
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["scan", "--help"], ["--help"], ["nothing"]])
def test_nothing_else_starts_one(started, words, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert started == []
    assert capsys.readouterr() != ("", "")
