"""Text, buttons, layouts and the error banner."""

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget

from tests.ui import windows
from ui.widgets import (
    Card,
    ErrorBanner,
    button,
    buttons,
    clear,
    column,
    row,
    set_tone,
    step,
    text,
    tooltip,
)


def test_text_is_never_read_as_markup(qapp, theme):
    label = text("<b>bold</b>")
    assert label.textFormat() is Qt.TextFormat.PlainText
    assert label.wordWrap()


def test_a_tooltip_shows_markup_as_text():
    assert tooltip("<b>&x</b>") == "<qt>&lt;b&gt;&amp;x&lt;/b&gt;</qt>"


def test_a_tone_changes_the_colour_at_once(qapp, theme):
    label = text("words")
    label.show()
    ordinary = label.palette().windowText().color().name()
    set_tone(label, "danger")
    assert label.palette().windowText().color().name() == theme.colours.danger != ordinary


def test_enter_presses_a_button_only_while_it_has_the_focus(qapp, theme, qtbot):
    pressed = []
    window = QWidget()
    layout = column(window)
    one, other = button("One", "one"), button("Other", "other")
    for each in (one, other):
        layout.addWidget(each)
        each.clicked.connect(lambda *_, each=each: pressed.append(each.objectName()))
        assert not each.autoDefault()
    window.show()
    QTest.keyClick(window, Qt.Key.Key_Return)
    assert pressed == []
    other.setFocus()
    QTest.keyClick(other, Qt.Key.Key_Space)
    assert pressed == ["other"]


def test_distances_are_in_steps_of_the_font(qapp, theme):
    parent = QWidget()
    layout = column(parent, margin=3, gap=2)
    assert layout.contentsMargins().left() == 3 * step(parent)
    assert layout.spacing() == 2 * step(parent)
    assert row(of=parent, gap=5).spacing() == 5 * step(parent)


def test_clear_removes_widgets_and_inner_layouts(qapp, theme):
    card = Card("Title")
    rows = QVBoxLayout()
    card.body.addLayout(rows)
    rows.addWidget(text("one"))
    line = row(of=card)
    line.addWidget(text("two"))
    rows.addLayout(line)
    buttons(rows, button("Press", "press"), of=card)
    clear(rows)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert rows.count() == 0
    assert windows.texts(card) == ["Title"]
    assert card.findChildren(QPushButton) == []


@pytest.fixture
def banner(qapp, theme):
    banner = ErrorBanner()
    banner.hide()
    return banner


def test_an_error_stays_until_it_is_dismissed(banner):
    banner.show_message("The disk is full. Free some space.")
    assert banner.isVisible()
    assert banner.findChild(QLabel, "errorText").text() == "The disk is full. Free some space."
    banner.findChild(QPushButton, "dismissError").click()
    assert not banner.isVisible()
