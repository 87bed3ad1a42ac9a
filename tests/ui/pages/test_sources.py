"""The card with the sources: off until switched on, one call for each act."""

import pytest
from PySide6.QtWidgets import QCheckBox, QPushButton

from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows


@pytest.fixture
def window(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "scan", theme)
    for method in ("sources.set", "sources.add", "sources.remove", "sources.log"):
        window.client.answers[method] = fakes.sources_answer("clamav", "wheels", folders=())
    return window


def card(window):
    return windows.page(window, "scanPage").sources


def switches(window):
    boxes = card(window).findChildren(QCheckBox)
    return {box.objectName().removeprefix("source:"): box for box in boxes}


def test_c7_each_source_has_a_switch_of_its_own_with_its_words(window):
    boxes = switches(window)
    assert {name: box.isChecked() for name, box in boxes.items()} == {
        "packages": False,
        "wheels": False,
        "clamav": True,
    }
    for source in fakes.sources_answer()["sources"]:
        assert source["text"] in windows.texts(card(window))
        assert boxes[source["source"]].accessibleName() == source["title"]
    assert "/home/jane/Downloads" in windows.texts(card(window))


def test_switching_sends_the_words_that_were_read(window):
    words = fakes.sources_answer()["sources"][1]["text_sha256"]
    switches(window)["wheels"].click()
    windows.settle()
    (sent,) = windows.params(window, "sources.set")
    assert (sent["source"], sent["on"], sent["surface"]) == ("wheels", True, "window")
    assert sent["text_sha256"] == words
    assert "No folder is chosen, so nothing is opened." in windows.texts(card(window))


def test_folders_and_logs_are_the_persons(window):
    card(window).choose("/home/jane/Programs")
    card(window).use_log("/home/jane/scan.log")
    assert windows.params(window, "sources.add") == [{"path": "/home/jane/Programs"}]
    assert windows.params(window, "sources.log") == [{"path": "/home/jane/scan.log"}]


def test_a_folder_is_given_up(window):
    name = "removeFolder:/home/jane/Downloads"
    card(window).findChild(QPushButton, name).click()
    assert windows.params(window, "sources.remove") == [{"path": "/home/jane/Downloads"}]


def test_a_log_is_shown_and_given_up(window):
    window.client.answers["sources.add"] = fakes.sources_answer(
        "clamav", logs=("/home/jane/x.log",)
    )
    card(window).choose("/home/jane/Programs")
    windows.settle()
    assert "Log: /home/jane/x.log" in windows.texts(card(window))
    card(window).findChild(QPushButton, "removeFolder:/home/jane/x.log").click()
    assert windows.params(window, "sources.remove") == [{"path": "/home/jane/x.log"}]


def test_what_a_search_could_not_read_is_said_at_its_source(window):
    answer = fakes.sources_answer("clamav")
    answer["sources"][2]["problem"] = "UNREADABLE"
    window.client.answers["sources.add"] = answer
    card(window).choose("/home/jane/Programs")
    windows.settle()
    words = "The last search could not read all of it (UNREADABLE)."
    assert words in windows.texts(card(window))


def test_one_search_at_a_time(window):
    window.client.answers.pop("sources.search", None)
    card(window).search.click()
    assert not card(window).search.isEnabled()
    window.client.statusChanged.emit(fakes.status())
    assert not card(window).search.isEnabled()


def test_a_search_says_what_it_found_or_why_not(window):
    window.client.answers["sources.search"] = {
        "files": 9, "programs": 4, "added": 1, "unread": [], "rows": {"clamav": 1},
    }  # fmt: skip
    card(window).search.click()
    assert "4 programs found, 1 new sample." in windows.texts(card(window))
    window.client.answers["sources.search"] = fakes.refused("NO_FOLDERS", "None chosen.", "Choose.")
    card(window).search.click()
    assert any("None chosen." in text for text in windows.texts(card(window)))


def test_c1_without_consent_nothing_can_be_switched_on(qapp, theme):
    refused = fakes.status(AgentState.OFF, ConsentState.REFUSED)
    window = windows.open_window(qapp, refused, "scan", theme)
    boxes = switches(window)
    assert [name for name, box in boxes.items() if box.isEnabled()] == ["clamav"]
    assert not card(window).search.isEnabled()
    assert "Sources need your consent first." in windows.texts(card(window))
