"""Every control has a name of its own on its page, equal to what is seen, and is reached by
keyboard.
"""

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
    """Controls that a person can use now; not the parts that Qt builds them of."""
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
def test_every_control_has_a_name_equal_to_what_is_seen(qapp, theme, name):
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
def test_every_control_is_reached_by_the_tab_key(qapp, theme, name):
    shown = windows.EXAMPLES[name](qapp, theme)
    windows.settle()
    shown.activateWindow()
    wanted, seen = set(controls(shown)), set()
    for _ in range(3 * len(wanted) + 5):
        QTest.keyClick(QApplication.focusWidget() or shown, Qt.Key.Key_Tab)
        if (focused := shown.focusWidget()) is not None:
            seen.add(focused)
    # Buttons of which one is chosen are one stop; the arrow keys go on inside (as with radio
    # buttons everywhere).
    inside = {
        button for widget in seen if (group := exclusive(widget)) for button in group.buttons()
    }
    assert [widget.objectName() for widget in wanted - seen - inside] == []


def exclusive(widget):
    group = widget.group() if isinstance(widget, QAbstractButton) else None
    return group if group is not None and group.exclusive() else None


def test_the_arrow_keys_go_through_the_pages(qapp, theme):
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
def test_pictures_and_gauges_say_their_value(qapp, theme, name):
    shown = windows.EXAMPLES[name](qapp, theme)
    windows.settle()
    for widget in shown.findChildren(QWidget):
        if isinstance(widget, QLabel) and not widget.pixmap().isNull():
            assert accessible_name(widget)
        if type(widget).__name__ in ("Meter", "Sparkline") and widget.isVisibleTo(shown):
            words, description = described(widget)
            assert words
            assert description
