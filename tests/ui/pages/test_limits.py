"""The Limits page: settings, their origins, and values that are refused."""

import pytest
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox

from tests.fakes import agent_client as fakes
from tests.ui import windows
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.setting_labels import setting_labels
from ui.widgets import Card


def limits(window):
    return windows.page(window, "limitsPage")


@pytest.fixture
def window(qapp, theme):
    return windows.open_window(qapp, fakes.status(), "limits", theme)


def editor(window, kind, key):
    return window.findChild(kind, f"setting:{key}")


def test_it_has_an_editor_for_every_setting_that_a_person_sees(window):

    keys = setting_labels(PlainFormatter())
    assert [key for key in keys if window.findChild(object, f"setting:{key}") is None] == []


@pytest.mark.parametrize(
    ("kind", "key", "change", "value"),
    [
        (QCheckBox, "idle.only", lambda box: box.click(), True),
        (QComboBox, "battery.rule", lambda combo: combo.activated.emit(0), "never"),
        (QSpinBox, "idle.minutes", lambda spin: spin.setValue(7), 7),
        (
            QLineEdit,
            "hours.monday",
            lambda edit: (edit.setText("never "), edit.editingFinished.emit()),
            "never",
        ),
    ],
)
def test_a_change_is_sent_at_once(window, kind, key, change, value):
    change(editor(window, kind, key))
    assert windows.params(window, "settings.set") == [{"key": key, "value": value}]


def test_a_managed_setting_is_locked_and_says_so(window):
    spin = editor(window, QSpinBox, "cpu.share_idle")
    assert not spin.isEnabled()
    shown = windows.texts(limits(window))
    assert any(text.endswith("Managed by your organisation") for text in shown)


def test_the_page_is_not_built_twice_when_the_agent_starts_again(window):
    cards = len(limits(window).findChildren(Card))
    window.client.push(None)
    assert not limits(window).isEnabled()
    window.client.push(fakes.status())
    windows.settle()
    assert len(limits(window).findChildren(Card)) == cards
    assert len(windows.params(window, "settings.get")) == 2


def test_a_setting_changed_elsewhere_shows_when_the_page_is_opened_again(window):
    window.open_page("overview")
    changed = windows.settings_answer()
    for entry in changed["settings"]:
        if entry["key"] == "idle.only":
            entry.update(value=not entry["value"], origin="policy")
            expected = entry["value"]
    window.client.answers["settings.get"] = changed
    window.open_page("limits")
    box = editor(window, QCheckBox, "idle.only")
    assert box.isChecked() is expected
    assert not box.isEnabled()
    window.client.push(fakes.status())
    assert len(windows.params(window, "settings.get")) == 2  # a pushed status asks nothing again


def test_a_setting_is_revealed_as_soon_as_the_settings_have_arrived(qapp, theme):
    window = windows.open_window(qapp, fakes.waiting(), "overview", theme)
    del window.client.answers["settings.get"]
    window.open_setting("tray.keep_icon")
    windows.settle()
    ((method, done),) = window.client.unanswered
    assert method == "settings.get"
    done(windows.settings_answer())
    windows.settle()
    focused = window.focusWidget()
    assert focused.objectName() == "setting:tray.keep_icon"
    viewport = limits(window).viewport()
    top = focused.mapTo(viewport, focused.rect().topLeft()).y()
    assert 0 <= top < viewport.height()


def test_a_refused_text_stays_for_correction(window):
    window.client.answers["settings.set"] = fakes.refused(
        "BAD_VALUE", "These are no hours.", "Write 09:00-17:00."
    )
    edit = editor(window, QLineEdit, "hours.monday")
    edit.setText("nine to five")
    edit.editingFinished.emit()
    assert edit.text() == "nine to five"
    assert any("These are no hours." in text for text in windows.texts(limits(window)))
    edit.setText("always")
    edit.editingFinished.emit()
    assert not any("These are no hours." in text for text in windows.texts(limits(window)))
    assert len(windows.params(window, "settings.set")) == 1


def test_a_refused_choice_goes_back(window):
    window.client.answers["settings.set"] = fakes.refused("MANAGED", "Not allowed.", "Ask IT.")
    combo = editor(window, QComboBox, "battery.rule")
    before = combo.currentIndex()
    combo.setCurrentIndex(0)
    combo.activated.emit(0)
    assert combo.currentIndex() == before != 0
    assert any("Not allowed." in text for text in windows.texts(limits(window)))
