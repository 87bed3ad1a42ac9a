"""The parts that the window and its pages are made of: text, buttons, layouts, cards.

Distances are given in steps of the person's own font size (`step`), never in pixels.
"""

from html import escape
from typing import TypeVar

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ui import theme

Box = TypeVar("Box", bound=QBoxLayout)


def step(widget: QWidget) -> int:
    return theme.unit(widget.font())


class Paragraph(QLabel):
    """Text that wraps.

    Its minimum height is one line: Qt's own minimum would leave gaps below short paragraphs.
    """

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.fontMetrics().height())


def text(
    content: str = "", *, factor: float = theme.BODY, bold: bool = False, tone: str = ""
) -> QLabel:
    """Make a paragraph; `tone` is muted, warning, danger, good or empty."""
    label = Paragraph(content)
    label.setFont(theme.scaled(label.font(), factor, bold=bold))
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    if tone:
        label.setProperty("tone", tone)
    return label


def tooltip(content: str) -> str:
    """Return a tooltip that shows `content` as it is; Qt takes what looks like HTML for HTML."""
    return f"<qt>{escape(content)}</qt>"


def set_tone(label: QLabel, tone: str) -> None:
    label.setProperty("tone", tone)
    label.style().unpolish(label)
    label.style().polish(label)


def button(label: str, name: str, kind: str = "") -> QPushButton:
    """Make a button that Enter presses only while it has the focus."""
    result = QPushButton(label)
    result.setObjectName(name)
    result.setAutoDefault(False)
    if kind:
        result.setProperty("kind", kind)
    return result


def column(parent: QWidget, *, margin: int = 0, gap: int = 2) -> QVBoxLayout:
    """Make a vertical layout; `margin` and `gap` are in steps."""
    return _box(QVBoxLayout(parent), step(parent), margin, gap)


def row(parent: QWidget | None = None, *, gap: int = 2, of: QWidget | None = None) -> QHBoxLayout:
    layout = QHBoxLayout(parent) if parent is not None else QHBoxLayout()
    measured = parent or of
    unit = step(measured) if measured else 4
    return _box(layout, unit, 0, gap)


def _box(layout: Box, unit: int, margin: int, gap: int) -> Box:
    layout.setContentsMargins(margin * unit, margin * unit, margin * unit, margin * unit)
    layout.setSpacing(gap * unit)
    return layout


def buttons(card: QBoxLayout, *each: QPushButton, of: QWidget) -> None:
    """Add a row of buttons below the text of a card."""
    line = row(of=of)
    line.setContentsMargins(0, step(of), 0, 0)
    for one in each:
        line.addWidget(one)
    line.addStretch(1)
    card.addLayout(line)


def rule() -> QFrame:
    line = QFrame()
    line.setProperty("rule", True)
    line.setAccessibleName("")
    return line


class ErrorBanner(QFrame):
    """An error at the top of the window, until the person dismisses it."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("banner", True)
        self.setObjectName("error")
        inside = row(self)
        inside.setContentsMargins(4 * step(self), 2 * step(self), 4 * step(self), 2 * step(self))
        self._message = text("")
        self._message.setObjectName("errorText")
        dismiss = button(self.tr("Dismiss"), "dismissError", "link")
        dismiss.clicked.connect(self.hide)
        inside.addWidget(self._message, 1)
        inside.addWidget(dismiss)
        self.hide()

    def show_message(self, message: str) -> None:
        self._message.setText(message)
        self.show()


class Card(QFrame):
    """A titled panel."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", True)
        self.body = column(self, margin=5, gap=2)
        if title:
            self.body.addWidget(text(title, factor=theme.HEADING, bold=True))


def clear(layout: QLayout) -> None:
    """Remove every item of a layout at once."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.setParent(None)
            widget.deleteLater()
        elif (inner := item.layout()) is not None:
            clear(inner)
