"""Pages stay true while things change: an update is refused, settings change elsewhere, the agent
starts again, years pass.
"""

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QCheckBox, QLabel, QLineEdit

from agent.status import AgentState, ConsentState, SentView
from tests.fakes import agent_client as fakes
from tests.ui import windows
from ui.widgets import Card


def page(window, name):
    return window.findChild(object, name)


def texts(widget):
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]


def asked(window, method):
    return [params for called, params in window.client.calls if called == method]


def ledger_with(states):
    """A ledger with one charge for each state of its outbox entry; models 11, 12, …"""
    made = fakes.ledger_answer()
    for place, state in enumerate(states):
        made["outbox"][place]["state"] = state
    return made


@pytest.mark.parametrize("state", ["unsent", "withdrawn", "refused", "closed"])
def test_only_what_was_received_stays(qapp, theme, state):
    window = windows.window(qapp, fakes.status(), "overview", theme)
    window.client.answers["ledger"] = ledger_with([state, "acknowledged"])
    window.open_page("privacy")
    stays = page(window, "stays")
    assert (
        stays.text()
        == "1 update from this device was sent and stays summed into the model made from"
        " version 12."
    )
    assert stays.isVisibleTo(window)
    window.client.answers["ledger"] = ledger_with([state, state])
    window.client.push(fakes.status(AgentState.OFF, ConsentState.WITHDRAWN, sent=SentView()))
    assert not stays.isVisibleTo(window)


def test_several_updates_stay_in_the_models_of_a_span(qapp, theme):
    window = windows.window(qapp, fakes.status(), "overview", theme)
    window.client.answers["ledger"] = ledger_with(["acknowledged", "acknowledged"])
    window.open_page("privacy")
    assert (
        page(window, "stays").text()
        == "2 updates from this device were sent and stay summed into the models made from versions"
        " 11 to 12."
    )


def test_an_update_that_is_received_while_the_page_is_open_is_told(qapp, theme):
    window = windows.window(qapp, fakes.status(sent=SentView()), "overview", theme)
    window.client.answers["ledger"] = ledger_with(["unsent", "unsent"])
    window.open_page("privacy")
    window.client.answers["ledger"] = ledger_with(["acknowledged", "unsent"])
    window.client.push(fakes.status(sent=SentView(1, 936, fakes.NOW)))
    assert page(window, "stays").isVisibleTo(window)


def test_limits_are_not_doubled_when_the_agent_starts_again(qapp, theme):
    window = windows.window(qapp, fakes.status(), "limits", theme)
    limits = page(window, "limitsPage")
    cards = len(limits.findChildren(Card))
    window.client.push(None)
    window.client.push(fakes.status())
    windows.settle()
    assert len(limits.findChildren(Card)) == cards
    assert len(asked(window, "settings.get")) == 2


def test_a_limit_that_was_changed_elsewhere_shows_when_the_page_is_opened_again(qapp, theme):
    window = windows.window(qapp, fakes.status(), "limits", theme)
    window.open_page("overview")
    changed = windows.settings_answer()
    for entry in changed["settings"]:
        if entry["key"] == "idle.only":
            entry.update(value=not entry["value"], origin="policy")
            wanted = entry["value"]
    window.client.answers["settings.get"] = changed
    window.open_page("limits")
    box = window.findChild(QCheckBox, "setting:idle.only")
    assert box.isChecked() is wanted
    assert not box.isEnabled()
    window.client.push(fakes.status())
    assert len(asked(window, "settings.get")) == 2  # a pushed status asks nothing again


def test_a_limit_is_revealed_as_soon_as_the_settings_have_come(qapp, theme):
    window = windows.window(qapp, fakes.waiting(), "overview", theme)
    del window.client.answers["settings.get"]
    window._open_setting("tray.keep_icon")
    windows.settle()
    ((method, done),) = window.client.waiting
    assert method == "settings.get"
    done(windows.settings_answer())
    windows.settle()
    editor = window.focusWidget()
    assert editor.objectName() == "setting:tray.keep_icon"
    limits = page(window, "limitsPage")
    top = editor.mapTo(limits.viewport(), editor.rect().topLeft()).y()
    assert 0 <= top < limits.viewport().height()


def test_a_refused_value_stays_to_be_mended(qapp, theme):
    window = windows.window(qapp, fakes.status(), "limits", theme)
    window.client.answers["settings.set"] = fakes.refused(
        "BAD_VALUE", "These are no hours.", "Write 09:00-17:00."
    )
    edit = window.findChild(QLineEdit, "setting:hours.monday")
    edit.setText("nine to five")
    edit.editingFinished.emit()
    assert edit.text() == "nine to five"
    assert any("These are no hours." in words for words in texts(page(window, "limitsPage")))
    edit.setText("always")
    edit.editingFinished.emit()
    assert not any("These are no hours." in words for words in texts(page(window, "limitsPage")))
    assert len(asked(window, "settings.set")) == 1


def many(count, newest_at=fakes.NOW):
    """A ledger of `count` acknowledged updates, one a day, as a function of the params."""
    charge, entry = fakes.ledger_answer()["charges"][0], fakes.ledger_answer()["outbox"][0]

    def at(place):
        return newest_at - (count - 1 - place) * fakes.DAY

    def answer(params):
        places = range(count)[params.get("offset", 0) :][: params["limit"]]
        names = [(place, f"{place:032x}") for place in places]
        return {
            **fakes.ledger_answer(),
            "charges": [
                {**charge, "seq": place + 1, "attempt": name, "at": at(place)}
                for place, name in names
            ],
            "outbox": [
                {
                    **entry,
                    "charge_seq": place + 1,
                    "round_id": place,
                    "attempt": name,
                    "created_at": at(place),
                    "settled_at": at(place),
                }
                for place, name in names
            ],
            "totals": {
                **fakes.ledger_answer()["totals"],
                "charges": count,
                "sent": count,
                "bytes_up": 936 * count,
            },
        }

    return answer


def sent_many(count):
    made = fakes.status()
    return replace(
        made,
        budget=replace(made.budget, charges=count),
        sent=SentView(count, 936 * count, fakes.NOW),
    )


def shown_entry(params):
    return {
        "entry": {**fakes.ledger_answer()["outbox"][0], "attempt": params["attempt"]},
        "header": None,
        "path": None,
    }


def test_the_newest_updates_are_listed_and_the_older_ones_told(qapp, theme):
    window = windows.window(qapp, sent_many(203), "overview", theme)
    window.client.answers.update({"ledger": many(203), "sent.show": shown_entry})
    window.open_page("sent")
    table = page(window, "sentTable")
    assert (table.rowCount(), table.item(0, 1).text(), table.item(199, 1).text()) == (
        200,
        "202",
        "3",
    )
    assert any(
        "The 3 oldest are not listed here" in words for words in texts(page(window, "sentPage"))
    )
    window.client.push(sent_many(203))
    assert len(asked(window, "ledger")) == 1


def test_the_chosen_update_stays_chosen_when_another_is_sent(qapp, theme):
    window = windows.window(qapp, sent_many(2), "overview", theme)
    window.client.answers.update({"ledger": many(2), "sent.show": shown_entry})
    window.open_page("sent")
    table = page(window, "sentTable")
    assert asked(window, "sent.show")[-1] == {"attempt": f"{1:032x}"}
    window.client.answers["ledger"] = many(3)
    window.client.push(sent_many(3))
    assert (table.rowCount(), table.currentRow()) == (3, 1)
    assert asked(window, "sent.show")[-1] == {"attempt": f"{1:032x}"}


def test_the_last_thirty_days_end_today(qapp, theme):
    last = fakes.NOW - 29 * fakes.DAY
    window = windows.window(
        qapp, replace(sent_many(2), sent=SentView(2, 1872, last)), "overview", theme
    )
    window.client.answers["ledger"] = many(2, newest_at=last)
    window.open_page("activity")
    line = page(window, "activityPage")._line
    assert line._values == (936.0, *[0.0] * 29)


def test_activity_counts_the_newest_and_only_what_was_received(qapp, theme):
    window = windows.window(qapp, sent_many(1500), "overview", theme)

    def answer(params):
        made = many(1500)(params)
        made["outbox"][-1].update(state="withdrawn")
        return made

    window.client.answers["ledger"] = answer
    window.open_page("activity")
    assert page(window, "activityPage")._line._values == (*[936.0] * 29, 0.0)
