"""Every control has a name of its own, equal to its visible text, and is reached by keyboard."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QTableWidget,
    QWidget,
)

from tests.ui import windows

CONTROLS = (QAbstractButton, QPlainTextEdit, QTableWidget, QComboBox, QAbstractSpinBox, QLineEdit)


def controls(window):
    """Controls that a person can use now, without the inner parts of Qt's own widgets."""
    return [
        widget
        for widget in window.findChildren(QWidget)
        if isinstance(widget, CONTROLS)
        and widget.isVisibleTo(window)
        and widget.isEnabled()
        and not isinstance(widget.parent(), QAbstractSpinBox | QTableWidget)
        and not widget.objectName().startswith("qt_")
        and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
    ]


def accessible_name(widget):
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def described(widget):
    interface = QAccessible.queryAccessibleInterface(widget)
    return interface.text(QAccessible.Text.Name), interface.text(QAccessible.Text.Description)


def buddy_text(window, widget):
    return next(
        (label.text() for label in window.findChildren(QLabel) if label.buddy() is widget), None
    )


@pytest.mark.parametrize("name", windows.EXAMPLES)
def test_every_control_is_named_as_it_is_labelled(qapp, theme, name):
    shown = windows.EXAMPLES[name](qapp, theme)
    windows.settle()
    found = controls(shown)
    assert found
    names = [described(widget) for widget in found]
    assert [
        widget.objectName()
        for widget, (words, _) in zip(found, names, strict=True)
        if not words.strip()
    ] == []
    assert len(set(names)) == len(names), sorted(names)
    for widget in found:
        if isinstance(widget, QPushButton):
            assert accessible_name(widget) == widget.text()
        elif isinstance(widget, QComboBox):
            assert buddy_text(
                shown, widget
            )  # Qt tells a combo box's label as a relation: on Linux its name is the chosen value
        elif (buddy := buddy_text(shown, widget)) is not None:
            assert accessible_name(widget) == buddy


@pytest.mark.parametrize("name", windows.EXAMPLES)
def test_the_tab_key_reaches_every_control(qapp, theme, name):
    shown = windows.EXAMPLES[name](qapp, theme)
    windows.settle()
    shown.activateWindow()
    wanted, seen = set(controls(shown)), set()
    for _ in range(3 * len(wanted) + 5):
        QTest.keyClick(QApplication.focusWidget() or shown, Qt.Key.Key_Tab)
        if (focused := shown.focusWidget()) is not None:
            seen.add(focused)
    # An exclusive group of buttons is one stop; the arrow keys move inside it, as in any group of
    # radio buttons.
    inside = {
        button for widget in seen if (group := exclusive(widget)) for button in group.buttons()
    }
    assert [widget.objectName() for widget in wanted - seen - inside] == []


def exclusive(widget):
    group = widget.group() if isinstance(widget, QAbstractButton) else None
    return group if group is not None and group.exclusive() else None


def test_the_arrow_keys_move_through_the_pages(qapp, theme):
    shown = windows.EXAMPLES["overview-new"](qapp, theme)
    windows.settle()
    buttons = next(group for widget in controls(shown) if (group := exclusive(widget))).buttons()
    buttons[0].setFocus()
    reached = [buttons[0]]
    for _ in buttons[1:]:
        QTest.keyClick(shown.focusWidget(), Qt.Key.Key_Down)
        reached.append(shown.focusWidget())
    assert set(reached) == set(buttons)


@pytest.mark.parametrize("name", windows.EXAMPLES)
def test_pictures_and_gauges_have_a_name_and_a_description(qapp, theme, name):
    shown = windows.EXAMPLES[name](qapp, theme)
    windows.settle()
    for widget in shown.findChildren(QWidget):
        if isinstance(widget, QLabel) and not widget.pixmap().isNull():
            assert accessible_name(widget)
        if type(widget).__name__ in ("Meter", "Sparkline") and widget.isVisibleTo(shown):
            words, description = described(widget)
            assert words
            assert description
