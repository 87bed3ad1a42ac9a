"""Measures a rendered window: text that does not fit, contrast of its pixels, emptiness."""

import numpy as np
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QAbstractButton, QLabel, QTableWidget, QWidget

MIN_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of ordinary size."""
MIN_INK_SHARE = 0.005


def pixels(image):
    """(height, width) uint32 of a QImage, 0xRRGGBB."""
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    return (
        np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), image.width())
        & 0xFFFFFF
    )


def luminance(colours):
    """Relative luminance of sRGB colours (WCAG)."""
    value = colours.astype(float) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def colours_of(area):
    """The distinct colours (n, 3) of an area (h, w), and how many pixels have each."""
    codes, counts = np.unique(area, return_counts=True)
    return codes[:, None] >> np.array([16, 8, 0], np.uint32) & 255, counts


def contrast(area):
    """Greatest contrast between a pixel and the most common colour of an area (h, w)."""
    colours, counts = colours_of(area)
    ground = luminance(colours[counts.argmax()])
    ink = luminance(colours)
    lighter, darker = np.maximum(ink, ground), np.minimum(ink, ground)
    return float(((lighter + 0.05) / (darker + 0.05)).max())


def visible_texts(window):
    """(widget, its rectangle in the window) of every label and button with text that is fully
    visible.
    """
    for widget in window.findChildren(QWidget):
        if (
            not isinstance(widget, QLabel | QAbstractButton)
            or not widget.isVisibleTo(window)
            or not widget.text().strip()
        ):
            continue
        if isinstance(widget, QLabel) and not widget.pixmap().isNull():
            continue
        rect = QRect(widget.mapTo(window, QPoint(0, 0)), widget.size())
        shown = widget.visibleRegion().boundingRect().size()
        if shown == widget.size():
            yield widget, rect


def cut_off(window):
    """Texts that do not fit into their widgets, including those below the fold."""
    found = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisibleTo(window):
            continue
        if isinstance(widget, QLabel) and widget.text() and widget.wordWrap():
            needed = widget.fontMetrics().boundingRect(
                QRect(0, 0, widget.width(), 10_000), Qt.TextFlag.TextWordWrap, widget.text()
            )
            if needed.height() > widget.height() + 1 or needed.width() > widget.width() + 1:
                found.append(widget.text())
        elif (
            isinstance(widget, QAbstractButton)
            and widget.text()
            and widget.sizeHint().width() > widget.width()
        ):
            found.append(widget.text())
        elif isinstance(widget, QTableWidget):
            found += [
                item.text()
                for at in range(widget.columnCount())
                for place in range(widget.rowCount())
                if (item := widget.item(place, at)) is not None
                and not _fits_cell(widget, item.text(), place, at)
            ]
    return found


def _fits_cell(table, content, row, column):
    """Whether a table shows a text whole, in several lines where it wraps."""
    width = table.columnWidth(column)
    needed = table.fontMetrics().boundingRect(
        QRect(0, 0, width, 10_000), Qt.TextFlag.TextWordWrap, content
    )
    return needed.width() <= width and needed.height() <= table.rowHeight(row)


def pale(window, image):
    """(text, contrast) of every visible text below MIN_CONTRAST in a picture of the window.

    Disabled controls are exempt (WCAG 1.4.3).
    """
    scale, picture = image.devicePixelRatio(), pixels(image)
    found = []
    for widget, rect in visible_texts(window):
        if not widget.isEnabled():
            continue
        top, left = round(rect.top() * scale), round(rect.left() * scale)
        area = picture[
            top : top + round(rect.height() * scale), left : left + round(rect.width() * scale)
        ]
        if area.size and (value := contrast(area)) < MIN_CONTRAST:
            found.append((widget.text(), round(value, 2)))
    return found


def ink_share(image):
    """Share of pixels in other than the two most common colours; on an empty page almost none."""
    _, counts = colours_of(pixels(image))
    return 1 - np.sort(counts)[-2:].sum() / counts.sum()


def problems(window, image=None):
    """Everything that must not be seen in a window; `image` is a picture of it, if there is one."""
    image = image or window.grab().toImage()
    found = [f"cut off: {words}" for words in cut_off(window)]
    found += [f"contrast {value}: {words}" for words, value in pale(window, image)]
    if ink_share(image) < MIN_INK_SHARE:
        found.append("empty page")
    return found
