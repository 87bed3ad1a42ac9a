"""The Privacy page: the decision, what withdrawing cannot undo, the export and the erasure."""

import pytest

from agent.status import AgentState, ConsentState, SentView
from tests.fakes import agent_client as fakes
from tests.ui import ledgers, windows


def privacy(window):
    return windows.page(window, "privacyPage")


def stays(window):
    return window.findChild(object, "stays")


@pytest.fixture
def window(qapp, theme):
    return windows.open_window(qapp, fakes.status(), "overview", theme)


@pytest.mark.parametrize("state", ["unsent", "withdrawn", "refused", "closed"])
def test_only_received_updates_stay(window, state):
    window.client.answers["ledger"] = ledgers.ledger_with([state, "acknowledged"])
    window.open_page("privacy")
    assert (
        stays(window).text()
        == "1 update from this device was sent and stays summed into the model made from"
        " version 12."
    )
    assert stays(window).isVisibleTo(window)
    window.client.answers["ledger"] = ledgers.ledger_with([state, state])
    window.client.push(fakes.status(AgentState.OFF, ConsentState.WITHDRAWN, sent=SentView()))
    assert not stays(window).isVisibleTo(window)


def test_several_updates_stay_in_a_span_of_models(window):
    window.client.answers["ledger"] = ledgers.ledger_with(["acknowledged", "acknowledged"])
    window.open_page("privacy")
    assert (
        stays(window).text()
        == "2 updates from this device were sent and stay summed into the models made from versions"
        " 11 to 12."
    )


def test_an_update_received_while_the_page_is_open_is_shown(qapp, theme):
    window = windows.open_window(qapp, fakes.status(sent=SentView()), "overview", theme)
    window.client.answers["ledger"] = ledgers.ledger_with(["unsent", "unsent"])
    window.open_page("privacy")
    assert not stays(window).isVisibleTo(window)
    window.client.answers["ledger"] = ledgers.ledger_with(["acknowledged", "unsent"])
    window.client.push(fakes.status(sent=SentView(1, 936, fakes.NOW)))
    assert stays(window).isVisibleTo(window)


def test_withdrawing_takes_one_click(window):
    window.open_page("privacy")
    privacy(window).withdraw.click()
    assert windows.params(window, "consent.withdraw") == [{"surface": "window"}]


@pytest.mark.parametrize("state", ConsentState)
def test_it_offers_to_withdraw_or_to_decide(qapp, theme, state):
    window = windows.open_window(qapp, fakes.status(consent=state), "privacy", theme)
    contributes = state is ConsentState.GRANTED
    assert privacy(window).withdraw.isVisibleTo(window) is contributes
    assert privacy(window).decide.isVisibleTo(window) is not contributes


def test_the_question_is_opened_from_here(qapp, theme):
    window = windows.open_window(qapp, fakes.new_home(), "privacy", theme)
    assert privacy(window).decide.text() == "Review and decide"
    privacy(window).decide.click()
    assert window.dialog is not None


def test_the_export_names_its_file(window, tmp_path):
    window.open_page("privacy")
    privacy(window).export_to(tmp_path / "copy.json")
    assert windows.params(window, "export") == [{"path": str(tmp_path / "copy.json")}]
    shown = windows.texts(privacy(window))
    assert any(text.startswith("Written: aegisai-export.json") for text in shown)


def test_an_export_that_fails_says_why(window, tmp_path):
    window.client.answers["export"] = fakes.refused("DISK_FULL", "The disk is full.", "Free some.")
    window.open_page("privacy")
    privacy(window).export_to(tmp_path / "copy.json")
    assert any("The disk is full." in text for text in windows.texts(privacy(window)))


def test_erasing_needs_a_second_click(window):
    window.open_page("privacy")
    privacy(window).erase.click()
    assert privacy(window).confirm.isVisibleTo(window)
    assert windows.params(window, "erase") == []
    privacy(window).keep.click()
    assert not privacy(window).confirm.isVisibleTo(window)
    privacy(window).erase_now.click()
    assert windows.params(window, "erase") == [{}]


@pytest.mark.parametrize(
    ("pending", "is_lost", "outcome"),
    [
        (False, False, "Erased."),
        (True, False, "Erased here. The server will be notified as soon as it can be reached."),
        (True, True, "Erased here. The server cannot be notified, because the key that proves"),
    ],
)
def test_it_says_what_the_server_knows_of_the_erasure(window, pending, is_lost, outcome):
    window.client.answers["erase"] = {"pending": pending, "server_cannot_be_told": is_lost}
    window.open_page("privacy")
    assert any(
        "lifetime ε starts at 0 again, although" in text for text in windows.texts(privacy(window))
    )
    privacy(window).erase_now.click()
    (said,) = [text for text in windows.texts(privacy(window)) if text.startswith(outcome)]
    assert said.endswith("The lifetime ε starts at 0 again.")
