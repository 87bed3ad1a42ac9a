"""What the pages show of a Status and ask of the agent; the names that tests and scripts find them
by.
"""

import re
from pathlib import Path

import pytest
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLabel, QPushButton

from agent.consent.notice import Decision
from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from tests.ui import windows
from ui.consent_dialog import ConsentDialog
from ui.tray import Tray

ROOT = Path(__file__).parents[2]


def page(window, name):
    return window.findChild(object, name)


def texts(widget):
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]


def test_the_names_of_the_seam(qapp, theme):
    window = windows.window(qapp, fakes.status(), "overview", theme)
    for name in ("overview", "privacy", "sent", "about"):
        window.open_page(name)
        assert page(window, f"{name}Page").isVisibleTo(window)
    dialog = ConsentDialog(fakes.notice())
    assert all(
        dialog.findChild(QPushButton, name)
        for name in ("grantButton", "refuseButton", "detailsButton")
    )
    decided = []
    dialog.decided.connect(decided.append)
    dialog.close()
    assert decided == [Decision.DISMISSED]
    tray = Tray(fakes.FakeAgentClient(fakes.status()))
    for name in (
        "pause",
        "resume",
        "runOnce",
        "consent",
        "sent",
        "settings",
        "scan",
        "open",
        "quit",
    ):
        assert tray.findChild(QAction, name)


def test_the_overview_shows_readings_reasons_and_the_settings_that_lift_them(qapp, theme):
    window = windows.window(qapp, fakes.waiting(), "overview", theme)
    shown = texts(page(window, "overviewPage"))
    for words in (
        "The computer runs on battery",
        "64 %, discharging (read from power_supply)",
        "Plugged in",
        "87 %",
        "read from Mutter",
    ):
        assert words in shown
    change = window.findChild(QPushButton, "lift:battery.rule")
    assert change.text() == "Change: Train on battery"
    change.click()
    assert window.page == "limits"
    windows.settle()
    assert window.focusWidget().objectName() == "setting:battery.rule"


def test_the_sent_page_compares_the_servers_receipt_with_the_bytes(qapp, theme):
    entry = fakes.ledger_answer()["outbox"][0]
    lying = {
        **entry,
        "receipt": {
            **entry["receipt"],
            "receipt": {**entry["receipt"]["receipt"], "body_sha256": "0" * 64},
        },
    }
    for shown, told in (
        (entry, "names exactly these bytes"),
        (lying, "names other bytes"),
        ({**entry, "receipt": None}, "has not confirmed"),
    ):
        window = windows.window(qapp, fakes.status(), "sent", theme)
        sent = page(window, "sentPage")
        sent._show_entry({"entry": shown, "header": None, "path": None})
        assert any(told in words for words in texts(sent))


def test_without_samples_the_overview_leads_to_where_they_are_added(qapp, theme):
    from agent.reasons import Reason, ReasonCode

    status = fakes.status(
        reasons=(Reason(ReasonCode.NOTHING_TO_LEARN, "There are no training rows yet."),)
    )
    window = windows.window(qapp, status, "overview", theme)
    window.findChild(QPushButton, "lift:scan").click()
    assert window.page == "scan"


def joined(qapp, theme):
    window = windows.window(qapp, fakes.new_home(), "join", theme)
    joining = page(window, "joinPage")
    joining.invitation.setPlainText("aegis1.x.y")
    joining.check.click()
    joining.join.click()
    return window


@pytest.mark.parametrize(
    ("button", "status", "told"),
    [
        ("grantButton", fakes.status(), "Thank you: this computer contributes now"),
        (
            "refuseButton",
            fakes.status(AgentState.OFF, ConsentState.REFUSED),
            "This computer does not contribute",
        ),
    ],
    ids=["yes", "no"],
)
def test_first_run_joins_asks_and_says_what_the_answer_means(qapp, theme, button, status, told):
    window = joined(qapp, theme)
    window.dialog.findChild(QPushButton, button).click()
    window.client.push(status)
    assert window.page == "done"
    assert told in texts(page(window, "donePage"))
    page(window, "donePage").overview.click()
    assert window.page == "overview"


def test_first_run_can_be_left_at_every_step(qapp, theme):
    window = windows.window(qapp, fakes.new_home(), "join", theme)
    page(window, "joinPage").skip.click()
    assert window.page == "overview"
    window = joined(qapp, theme)
    window.dialog.close()
    assert window.page == "overview"
    window.ask()
    window.dialog.findChild(QPushButton, "grantButton").click()
    assert window.page == "overview"  # asked again later: no longer the first run


def test_the_example_of_the_page_on_tests_works(qtbot):
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "UI-TESTS.md").read_text(), re.DOTALL
    )
    assert len(blocks) == 1
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 10
    names: dict[str, object] = {}
    exec(compile(blocks[0], "docs/UI-TESTS.md", "exec"), names)
    tests = [call for name, call in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0](qtbot)


def test_the_page_on_tests_names_every_action_and_page():
    told = (ROOT / "docs" / "UI-TESTS.md").read_text()
    names = (
        "grantButton",
        "refuseButton",
        "detailsButton",
        "pause",
        "resume",
        "runOnce",
        "consent",
        "sent",
        "settings",
        "scan",
        "open",
    )
    pages = (
        "overviewPage",
        "privacyPage",
        "sentPage",
        "limitsPage",
        "activityPage",
        "scanPage",
        "aboutPage",
        "joinPage",
        "donePage",
    )
    assert [name for name in (*names, *pages, "quit") if f"`{name}`" not in told] == []


def test_a_whole_number_from_the_agent_is_a_number(qapp):
    """A limit comes as an integer; Qt's number formats take floating point only."""
    from PySide6.QtCore import QLocale

    from ui.i18n import QtWords

    assert QtWords(QLocale.c()).number(10, 0) == "10"
