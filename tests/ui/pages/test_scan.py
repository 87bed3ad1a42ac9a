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


def test_the_summary_comes_first_then_what_deserves_a_look_with_its_reasons(window):
    scan(window).scan(["/a/setup.exe", "/a/invoice.exe", "/a/notes.txt"])
    assert windows.params(window, "scan") == [
        {"paths": ["/a/setup.exe", "/a/invoice.exe", "/a/notes.txt"]}
    ]
    table = window.findChild(QTableWidget, "scanTable")
    rows = [[table.item(row, column).text() for column in range(4)] for row in range(4)]
    assert rows[0][:3] == ["invoice.exe", "Suspicious", "0.98"]
    assert rows[0][3].splitlines()[:2] == [
        "Raises it: has no checksum",
        "Raises it: linker version 6.0",
    ]
    assert [row[:3] for row in rows[1:]] == [
        ["tool.exe", "Unsure", "0.61"],
        ["setup.exe", "Looks benign", "0.03"],
        ["notes.txt", "Not a Windows program", "–"],
    ]
    texts = windows.texts(scan(window))
    assert "3 programs: 1 looks benign, 1 unsure, 1 suspicious; 1 other file." in texts
    assert any(text.startswith("Scored by model version 12. By its operator") for text in texts)


def test_a_demonstration_model_is_no_protection(window):
    window.client.answers["scan"] = windows.scan_answer(demonstration=True)
    scan(window).scan(["/a/setup.exe"])
    assert any("this is no protection" in text for text in windows.texts(scan(window)))


def test_a_scan_shows_how_far_it_is_and_can_be_cancelled(window):
    page = scan(window)
    del window.client.answers["scan"]
    window.client.answers["scan.cancel"] = {}
    page.scan(["/a"])
    window.client.reports[-1](1200, 4000)
    assert "Scanning… 1200 of 4000 files" in windows.texts(page)
    assert not page.choose.isVisibleTo(page)
    page.cancel_button.click()
    assert window.client.methods[-1] == "scan.cancel"
    window.client.answers["scan"] = fakes.refused("WORKER_STOPPED", "Stopped.", "Again.")
    page.scan(["/a"])
    assert "The scan was cancelled." in windows.texts(page)
    assert page.choose.isVisibleTo(page)
    assert not page.cancel_button.isVisibleTo(page)


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
    assert scan(window).choose_folder.isEnabled()
    assert not scan(window).add_benign.isEnabled()
    assert not scan(window).add_malicious.isEnabled()
    assert "Reading files for training needs your consent first." in windows.texts(scan(window))


def test_without_an_agent_nothing_can_be_scanned(qapp, theme):
    window = windows.open_window(qapp, None, "scan", theme)
    assert not scan(window).choose.isEnabled()


def test_a_person_says_what_a_scanned_file_is(window):
    page = scan(window)
    assert not page.mark_benign.isVisibleTo(page)
    page.scan(["/a/setup.exe", "/a/invoice.exe", "/a/notes.txt"])
    window.client.answers["samples.mark"] = {"added": 0, "known": 1, "refused": []}
    assert page.mark_benign.isVisibleTo(page)
    assert not page.mark_benign.isEnabled()
    page.table.selectRow(1)
    page.mark_malicious.click()
    (marked,) = windows.params(window, "samples.mark")
    assert (len(marked["paths"]), marked["label"]) == (1, "malicious")
    assert "Noted for 1 file." in windows.texts(page)
