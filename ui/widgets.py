"""Small parts that every page is made of: cards, text of the type scale, meters that say their
value to a screen reader.
"""

from collections.abc import Sequence
from typing import TypeVar

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.theme import Colours

Box = TypeVar("Box", bound=QBoxLayout)
READABLE_STEPS = 210
"""Longer lines are hard to read."""


def step(widget: QWidget) -> int:
    return theme.unit(widget.font())


class Paragraph(QLabel):
    """Text that wraps.

    Its least height is one line, so that a page is as high as its text and no higher.
    """

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.fontMetrics().height())


def text(
    words: str = "", *, factor: float = theme.BODY, bold: bool = False, tone: str = ""
) -> QLabel:
    """A paragraph that wraps; `tone` is muted, warning, danger or good."""
    label = Paragraph(words)
    label.setFont(theme.scaled(label.font(), factor, bold=bold))
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    if tone:
        label.setProperty("tone", tone)
    return label


def set_tone(label: QLabel, tone: str) -> None:
    label.setProperty("tone", tone)
    label.style().unpolish(label)
    label.style().polish(label)


def button(words: str, name: str, kind: str = "") -> QPushButton:
    """A button that Enter presses only while it has the focus."""
    result = QPushButton(words)
    result.setObjectName(name)
    result.setAutoDefault(False)
    if kind:
        result.setProperty("kind", kind)
    return result


def column(parent: QWidget, *, margin: int = 0, gap: int = 2) -> QVBoxLayout:
    """A vertical layout; `margin` and `gap` in steps."""
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
    """A row of buttons below what a card says."""
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


class Card(QFrame):
    """A titled panel."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", True)
        self.body = column(self, margin=5, gap=2)
        if title:
            self.body.addWidget(text(title, factor=theme.HEADING, bold=True))


class Page(QScrollArea):
    """A scrolling page with a title; its content keeps a readable width."""

    def __init__(self, name: str, title: str, lead: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        canvas = QWidget()
        canvas.setObjectName("canvas")
        across = row(canvas, gap=0)
        content = QWidget()
        content.setMaximumWidth(READABLE_STEPS * step(self))
        across.addWidget(content)
        self.body = column(content, margin=7, gap=4)
        heading = text(title, factor=theme.TITLE, bold=True)
        self.body.addWidget(heading)
        if lead:
            self.body.addWidget(text(lead, tone="muted"))
        self.setWidget(canvas)

    def opened(self) -> None:
        """The person turns to this page: what is asked only now and then is asked anew by the next
        `show_view`.
        """

    def end(self) -> None:
        """Nothing comes below; what is there stays at the top."""
        self.body.addStretch(1)


def clear(layout: QLayout) -> None:
    """Remove every item of a layout at once."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.setParent(None)
            widget.deleteLater()
        elif (inner := item.layout()) is not None:
            clear(inner)


class Meter(QWidget):
    """A horizontal gauge from 0 to 1 with its value in words for everyone."""

    def __init__(self, colours: Colours, name: str) -> None:
        super().__init__()
        self._colours = colours
        self._share = 0.0
        self.setObjectName("meter")
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_share(self, share: float, words: str) -> None:
        self._share = min(1.0, max(0.0, share))
        self.setAccessibleDescription(words)
        self.update()

    def use(self, colours: Colours) -> None:
        self._colours = colours
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(40 * step(self), 2 * step(self))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002  Qt's signature
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(self.rect())
        radius = whole.height() / 2
        painter.setBrush(QColor(self._colours.line))
        painter.drawRoundedRect(whole, radius, radius)
        if self._share > 0:
            part = QRectF(whole)
            part.setWidth(max(whole.height(), whole.width() * self._share))
            if self.layoutDirection() == Qt.LayoutDirection.RightToLeft:
                part.moveRight(whole.right())
            painter.setBrush(
                QColor(self._colours.warning if self._share >= 0.9 else self._colours.accent)
            )
            painter.drawRoundedRect(part, radius, radius)
        painter.end()


class Sparkline(QWidget):
    """A line of values, oldest first, scaled from 0 to their greatest; `words` tell the same to a
    screen reader.
    """

    def __init__(self, colours: Colours, name: str) -> None:
        super().__init__()
        self._colours = colours
        self._values: tuple[float, ...] = ()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_values(self, values: Sequence[float], words: str) -> None:
        self._values = tuple(values)
        self.setAccessibleDescription(words)
        self.update()

    def use(self, colours: Colours) -> None:
        self._colours = colours
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(40 * step(self), 12 * step(self))

    def points(self, area: QRectF) -> QPolygonF:
        """The line inside `area`."""
        top = max(self._values, default=0.0) or 1.0
        across = area.width() / max(1, len(self._values) - 1)
        return QPolygonF(
            [
                QPointF(area.left() + place * across, area.bottom() - value / top * area.height())
                for place, value in enumerate(self._values)
            ]
        )

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002  Qt's signature
        if not self._values:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect()).adjusted(4, 4, -4, -4)  # room for the whole dot
        painter.setPen(QPen(QColor(self._colours.line), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.setPen(QPen(QColor(self._colours.accent), 2))
        line = self.points(area)
        painter.drawPolyline(line)
        painter.setBrush(QColor(self._colours.accent))
        painter.drawEllipse(line.last(), 3, 3)
        painter.end()
