"""The Scan page: verdicts, and samples with labels."""

import pytest
from PySide6.QtWidgets import QTableWidget

from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows


def scan(window):
    return windows.page(window, "scanPage")


@pytest.fixture
def window(qapp, theme):
    return windows.open_window(qapp, fakes.status(), "scan", theme)


def test_every_file_gets_its_verdict_and_score(window):
    scan(window).scan(["/a/setup.exe", "/a/invoice.exe", "/a/notes.txt"])
    assert windows.params(window, "scan") == [
        {"paths": ["/a/setup.exe", "/a/invoice.exe", "/a/notes.txt"]}
    ]
    table = window.findChild(QTableWidget, "scanTable")
    rows = [[table.item(row, column).text() for column in range(3)] for row in range(3)]
    assert rows == [
        ["setup.exe", "Looks benign", "0.03"],
        ["invoice.exe", "Looks malicious", "0.98"],
        ["notes.txt", "Not a Windows program", "–"],
    ]
    assert "By the model of version 12." in windows.texts(scan(window))


def test_a_demonstration_model_is_no_protection(window):
    window.client.answers["scan"] = {"results": [], "model_version": 0, "demonstration": True}
    scan(window).scan(["/a/setup.exe"])
    assert any("this is no protection" in text for text in windows.texts(scan(window)))


def test_a_scan_that_fails_says_why(window):
    window.client.answers["scan"] = fakes.refused("BUSY", "The agent is busy.", "Try again.")
    scan(window).scan(["/a/setup.exe"])
    assert any("The agent is busy." in text for text in windows.texts(scan(window)))
    assert not window.findChild(QTableWidget, "scanTable").isVisibleTo(window)


def test_added_known_and_refused_samples_are_reported(window):
    scan(window).add(["/a/x.exe"], "benign")
    assert windows.params(window, "samples.add") == [{"paths": ["/a/x.exe"], "label": "benign"}]
    assert (
        "3 files added. 1 file was known already.\nx.exe: Not a Windows program."
        in windows.texts(scan(window))
    )


def test_without_consent_files_can_be_scanned_but_not_learned_from(qapp, theme):
    refused = fakes.status(AgentState.OFF, ConsentState.REFUSED)
    window = windows.open_window(qapp, refused, "scan", theme)
    assert scan(window).choose.isEnabled()
    assert not scan(window).add_benign.isEnabled()
    assert not scan(window).add_malicious.isEnabled()
    assert "Reading files for training needs your consent first." in windows.texts(scan(window))


def test_without_an_agent_nothing_can_be_scanned(qapp, theme):
    window = windows.open_window(qapp, None, "scan", theme)
    assert not scan(window).choose.isEnabled()
