"""Answers as text: what a person reads says what holds."""

import time

import pytest

from agent.cli import render
from tests.fakes.agent_client import sources_answer


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_the_day_of_a_row_is_the_same_everywhere(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    row = {"id": 7, "label": "benign", "source": "wheels", "added_at": 1_796_083_200}
    text = render.samples_text({"total": 1, "benign": 1, "malicious": 0, "rows": [row]})
    monkeypatch.undo()
    time.tzset()
    assert text.splitlines()[1].split() == ["7", "benign", "2026-12-01", "wheels"]


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (sources_answer(), "No source is on, so nothing is opened: aegis sources on SOURCE"),
        (
            sources_answer("clamav", folders=()),
            "No folder is chosen, so nothing is opened: aegis sources add FOLDER",
        ),
        (sources_answer("clamav", logs=("/home/jane/scan.log",)), "Log:    /home/jane/scan.log"),
    ],
)
def test_the_sources_say_why_nothing_is_opened_and_which_logs_are_read(shown, line):
    assert line in render.sources_text(shown).splitlines()


def test_a_file_that_was_known_is_marked_all_the_same():
    refused = [{"path": "/b", "code": "NOT_FOUND", "message": "There is no such file."}]
    assert render.marked_text({"added": 0, "known": 1, "refused": refused}).splitlines() == [
        "1 file marked, 1 refused.",
        "/b: There is no such file.",
    ]
