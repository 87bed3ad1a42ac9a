"""Painted values, each with a description for screen readers: a meter and a sparkline."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui.theme import Colours
from ui.widgets import step

NEARLY_FULL = 0.9
"""From this share on a meter is painted in the warning colour."""


class Meter(QWidget):
    """A horizontal gauge from 0 to 1; a screen reader reads its description."""

    def __init__(self, colours: Colours, name: str) -> None:
        super().__init__()
        self._colours = colours
        self._share = 0.0
        self.setObjectName("meter")
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_share(self, share: float, description: str) -> None:
        self._share = min(1.0, max(0.0, share))
        self.setAccessibleDescription(description)
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
                QColor(
                    self._colours.warning if self._share >= NEARLY_FULL else self._colours.accent
                )
            )
            painter.drawRoundedRect(part, radius, radius)
        painter.end()


class Sparkline(QWidget):
    """A line of values, oldest first, scaled from 0 to the largest.

    A screen reader reads the description instead.
    """

    def __init__(self, colours: Colours, name: str) -> None:
        super().__init__()
        self._colours = colours
        self._values: tuple[float, ...] = ()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_values(self, values: Sequence[float], description: str) -> None:
        self._values = tuple(values)
        self.setAccessibleDescription(description)
        self.update()

    @property
    def values(self) -> tuple[float, ...]:
        return self._values

    def use(self, colours: Colours) -> None:
        self._colours = colours
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(40 * step(self), 12 * step(self))

    def points(self, area: QRectF) -> QPolygonF:
        """The points of the line inside `area`."""
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
