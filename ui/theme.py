"""Colours, type scale and spacing, light and dark.

The theme follows the desktop's scheme while the program runs.
"""

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication


@dataclass(frozen=True)
class Colours:
    """The colours of one scheme.

    Every text colour has a contrast of at least 4.5 on `window` and on `surface`; tests measure it.
    """

    name: str
    window: str
    surface: str
    raised: str
    line: str
    control: str
    """Border of controls: 3 to 1 against their surroundings."""
    text: str
    muted: str
    accent: str
    on_accent: str
    accent_soft: str
    good: str
    warning: str
    danger: str


LIGHT = Colours(
    name="light",
    window="#f4f6f8",
    surface="#ffffff",
    raised="#eef2f5",
    line="#dde3ea",
    control="#8492a3",
    text="#17212d",
    muted="#525f6e",
    accent="#0b6770",
    on_accent="#ffffff",
    accent_soft="#dcefef",
    good="#1a7042",
    warning="#8a5300",
    danger="#b3261e",
)
DARK = Colours(
    name="dark",
    window="#12171d",
    surface="#1b222b",
    raised="#252e39",
    line="#303b48",
    control="#75859a",
    text="#e9eef3",
    muted="#a7b3c1",
    accent="#5fcac8",
    on_accent="#06201f",
    accent_soft="#173c40",
    good="#6fd39b",
    warning="#f3b955",
    danger="#ff9087",
)

PICTURES = Path(__file__).parent / "icons"
SMALL, BODY, HEADING, TITLE, FIGURE = 0.92, 1.0, 1.12, 1.55, 1.9
"""Type scale, relative to the desktop's own font size."""


class Theme(QObject):
    """The current scheme.

    Emits `changed` after it has renewed the application's palette and style sheet.
    """

    changed = Signal()

    def __init__(self, app: QApplication, *, styled: bool = True) -> None:
        super().__init__(app)
        self._app = app
        self._styled = styled
        hints = QGuiApplication.styleHints()
        self._dark = hints.colorScheme() == Qt.ColorScheme.Dark
        hints.colorSchemeChanged.connect(
            lambda scheme: self.use(dark=scheme == Qt.ColorScheme.Dark)
        )
        if styled:
            app.setStyle("Fusion")
        self.use(dark=self._dark)

    @property
    def colours(self) -> Colours:
        return DARK if self._dark else LIGHT

    @property
    def is_dark(self) -> bool:
        return self._dark

    def use(self, *, dark: bool) -> None:
        """Switch between dark and light."""
        self._dark = dark
        if self._styled:
            self._app.setPalette(palette(self.colours))
            self._app.setStyleSheet(style_sheet(self.colours, unit(self._app.font())))
        self.changed.emit()


def unit(font: QFont) -> int:
    """One step of spacing in pixels: a quarter of a line of the person's font."""
    return max(4, round(QFontMetrics(font).height() / 4))


def scaled(font: QFont, factor: float, *, bold: bool = False) -> QFont:
    """Scale a font by a factor of the type scale."""
    result = QFont(font)
    if font.pointSizeF() > 0:
        result.setPointSizeF(font.pointSizeF() * factor)
    else:
        result.setPixelSize(round(font.pixelSize() * factor))
    result.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    return result


def palette(colours: Colours) -> QPalette:
    result = QPalette()
    role = QPalette.ColorRole
    for name, value in (
        (role.Window, colours.window),
        (role.WindowText, colours.text),
        (role.Base, colours.surface),
        (role.AlternateBase, colours.raised),
        (role.Text, colours.text),
        (role.Button, colours.surface),
        (role.ButtonText, colours.text),
        (role.BrightText, colours.danger),
        (role.Highlight, colours.accent),
        (role.HighlightedText, colours.on_accent),
        (role.ToolTipBase, colours.raised),
        (role.ToolTipText, colours.text),
        (role.PlaceholderText, colours.muted),
        (role.Link, colours.accent),
        (role.LinkVisited, colours.accent),
        (role.Accent, colours.accent),
        (role.Mid, colours.line),
        (role.Dark, colours.control),
    ):
        result.setColor(name, QColor(value))
    for name in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, name, QColor(colours.muted))
    return result


def style_sheet(colours: Colours, step: int) -> str:
    """Whatever a palette cannot express; `step` is one step of spacing in pixels."""
    c, s, pictures = colours, step, PICTURES.as_posix()
    return f"""
    QWidget#canvas, QScrollArea, QWidget#sidebar {{ background: {c.window}; border: none; }}
    QWidget#sidebar {{ background: {c.surface}; border-right: 1px solid {c.line}; }}
    QFrame[card="true"] {{ background: {c.surface}; border: 1px solid {c.line};
                   border-radius: {2 * s}px; }}
    QFrame[well="true"] {{ background: {c.raised}; border: none; border-radius: {s + s // 2}px; }}
    QFrame[banner="true"] {{ background: {c.raised}; border: none;
                   border-left: {s // 2 + 1}px solid {c.warning}; }}
    QFrame[rule="true"] {{ background: {c.line}; border: none; max-height: 1px; min-height: 1px; }}
    QLabel {{ background: transparent; }}
    QLabel[tone="muted"] {{ color: {c.muted}; }}
    QLabel[tone="danger"] {{ color: {c.danger}; }}
    QLabel[tone="warning"] {{ color: {c.warning}; }}
    QLabel[tone="good"] {{ color: {c.good}; }}
    QPushButton {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.control};
                   border-radius: {s + s // 2}px;
                   padding: {s + s // 4}px {3 * s}px; }}
    QPushButton:hover {{ background: {c.raised}; }}
    QPushButton:pressed {{ background: {c.accent_soft}; }}
    QPushButton:focus {{ border: 2px solid {c.accent}; padding: {s + s // 4 - 1}px {3 * s - 1}px; }}
    QPushButton:disabled {{ color: {c.muted}; border-color: {c.line}; background: {c.window}; }}
    QPushButton[kind="primary"] {{ background: {c.accent}; color: {c.on_accent};
                   border-color: {c.accent}; font-weight: 600; }}
    QPushButton[kind="primary"]:hover {{ border-color: {c.text}; }}
    QPushButton[kind="primary"]:focus {{ border: 2px solid {c.text}; }}
    QPushButton[kind="primary"]:disabled {{ background: {c.raised}; color: {c.muted};
                   border-color: {c.line}; }}
    QPushButton[kind="link"] {{ background: transparent; border: 1px solid transparent;
                   color: {c.accent}; padding: {s // 2}px 1px; }}
    QPushButton[kind="link"]:hover {{ text-decoration: underline; }}
    QPushButton[kind="link"]:focus {{ border: 1px solid {c.accent}; padding: {s // 2}px 1px; }}
    QPushButton[kind="nav"] {{ background: transparent; border: 2px solid transparent;
                   text-align: left;
                   padding: {2 * s - 2}px {3 * s}px; }}
    QPushButton[kind="nav"]:hover {{ background: {c.raised}; }}
    QPushButton[kind="nav"]:checked {{ background: {c.accent_soft}; color: {c.accent};
                   font-weight: 600; }}
    QPushButton[kind="nav"]:focus {{ border: 2px solid {c.accent}; }}
    QPlainTextEdit, QLineEdit {{ background: {c.surface}; color: {c.text};
                   border: 1px solid {c.control}; border-radius: {s}px; padding: {s}px;
                   selection-background-color: {c.accent};
                   selection-color: {c.on_accent}; }}
    QPlainTextEdit:focus, QLineEdit:focus {{ border: 2px solid {c.accent};
                   padding: {s - 1}px; }}
    QLineEdit:disabled {{ color: {c.muted}; border-color: {c.line};
                   background: {c.window}; }}
    QSpinBox, QDoubleSpinBox, QComboBox {{ background: {c.surface}; color: {c.text};
                   border: 1px solid {c.control};
                   border-radius: {s}px; padding: {s}px {s + s // 2}px;
                   selection-background-color: {c.accent};
                   selection-color: {c.on_accent}; }}
    QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {{ border: 2px solid {c.accent};
                   padding: {s - 1}px {s + s // 2 - 1}px; }}
    QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled {{ color: {c.muted};
                   border-color: {c.line}; background: {c.window}; }}
    QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ subcontrol-origin: border;
                   width: {5 * s}px; border: none; }}
    QAbstractSpinBox::up-button {{ subcontrol-position: top right; }}
    QAbstractSpinBox::down-button {{ subcontrol-position: bottom right; }}
    QAbstractSpinBox::up-arrow {{ image: url({pictures}/arrow-up.svg); width: {2 * s + 2}px;
                   height: {2 * s + 2}px; }}
    QAbstractSpinBox::down-arrow, QComboBox::down-arrow {{ image: url({pictures}/arrow-down.svg);
                   width: {2 * s + 2}px;
                   height: {2 * s + 2}px; }}
    QComboBox::drop-down {{ border: none; width: {6 * s}px; }}
    QComboBox QAbstractItemView {{ background: {c.surface}; color: {c.text};
                   border: 1px solid {c.control}; outline: none; }}
    QCheckBox {{ spacing: {2 * s}px; }}
    QCheckBox::indicator {{ width: {4 * s}px; height: {4 * s}px; border: 1px solid {c.control};
                   border-radius: {s}px;
                   background: {c.surface}; }}
    QCheckBox::indicator:checked {{ background: {c.accent}; border-color: {c.accent};
                   image: url({pictures}/check-{c.name}.svg); }}
    QCheckBox::indicator:focus {{ border: 2px solid {c.accent}; }}
    QCheckBox::indicator:checked:focus {{ border-color: {c.text}; }}
    QTableWidget {{ background: {c.surface}; border: none; gridline-color: transparent;
                   selection-background-color: {c.accent_soft};
                   selection-color: {c.text}; outline: none; }}
    QTableWidget::item {{ padding: {s}px {2 * s}px; border-bottom: 1px solid {c.line}; }}
    QTableWidget::item:selected {{ background: {c.accent_soft}; color: {c.text}; }}
    QTableWidget:focus {{ border: 1px solid {c.accent}; }}
    QHeaderView {{ background: {c.surface}; }}
    QHeaderView::section {{ background: {c.surface}; color: {c.muted}; border: none;
                   border-bottom: 1px solid {c.control};
                   padding: {s}px {2 * s}px; }}
    QScrollBar:vertical {{ background: transparent; width: {2 * s}px; margin: 0; }}
    QScrollBar:horizontal {{ background: transparent; height: {2 * s}px; margin: 0; }}
    QScrollBar::handle {{ background: {c.control}; border-radius: {s // 2}px; margin: {s // 2}px;
                   min-height: {8 * s}px; min-width: {8 * s}px; }}
    QScrollBar::handle:hover {{ background: {c.muted}; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QToolTip {{ background: {c.raised}; color: {c.text}; border: 1px solid {c.control}; }}
    """
