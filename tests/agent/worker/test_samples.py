"""Extraction says one line about every file: a row, or why not; what crashed the parser before is
not opened again.
"""

from pathlib import Path

import pytest
import setuptools

from agent.protocol.jobs import ExtractedRow, Opening, RefusedInput
from agent.worker import samples as module
from agent.worker.features import read_features
from agent.worker.samples import extract

LAUNCHER = Path(setuptools.__file__).parent / "cli-64.exe"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.exe").write_bytes(LAUNCHER.read_bytes())
    (tmp_path / "text.txt").write_text("no program")
    return tmp_path


def test_a_row_with_its_digest_or_a_reason_in_the_order_of_the_walk(folder):
    good, text = str(folder / "good.exe"), str(folder / "text.txt")
    expected = read_features(good, hashed=True)
    assert list(extract([str(folder)], {})) == [
        Opening(good),
        ExtractedRow(good, expected.sha256, expected.features),
        Opening(text),
        RefusedInput(text, "NOT_PE", "Not a Windows executable (PE)."),
    ]


def test_a_file_is_announced_before_it_is_opened(folder):
    events = extract([str(folder / "good.exe")], {})
    assert next(events) == Opening(str(folder / "good.exe"))
    (folder / "good.exe").unlink()  # what is opened only now is gone
    assert [event.code for event in events] == ["NOT_FOUND"]


def test_p11_what_crashed_the_parser_is_refused_unread(folder):
    good = str(folder / "good.exe")
    (refused,) = extract([good], {good: "PARSER_CRASHED"})
    assert (refused.path, refused.code) == (good, "PARSER_CRASHED")


def test_p11_the_bound_on_files_is_said_once(folder, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 1)
    events = list(extract([str(folder)], {}))
    assert [event.code for event in events if isinstance(event, RefusedInput)] == ["TOO_MANY_FILES"]
