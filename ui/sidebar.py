"""The sidebar of the window: the program's name and one button for each page."""

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QButtonGroup, QFrame, QLabel, QPushButton, QWidget

from ui import theme
from ui.icons import icon, picture
from ui.theme import Colours
from ui.widgets import button, column, row, step, text

WIDTH_STEPS = 52


class Sidebar(QFrame):
    """Offers the pages in order; Ctrl+1 to Ctrl+7 choose them from anywhere in the window."""

    pageChosen = Signal(str)

    def __init__(self, window: QWidget) -> None:
        super().__init__()
        self.setObjectName("sidebar")
        self._selected = ""
        inside = column(self, margin=3, gap=1)
        brand = row(of=self, gap=2)
        logo = QLabel()
        logo.setPixmap(picture("aegisai", "", 7 * step(self), 2.0))
        logo.setAccessibleName("AegisAI")
        brand.addWidget(logo)
        brand.addWidget(text("AegisAI", factor=theme.HEADING, bold=True), 1)
        brand.setContentsMargins(2 * step(self), 2 * step(self), step(self), 4 * step(self))
        inside.addLayout(brand)
        self._buttons = QButtonGroup(self)
        self._buttons.setExclusive(True)
        labels = {
            "overview": self.tr("Overview"),
            "privacy": self.tr("Privacy"),
            "sent": self.tr("Sent"),
            "limits": self.tr("Limits"),
            "activity": self.tr("Activity"),
            "scan": self.tr("Scan"),
            "about": self.tr("About"),
        }
        for place, (page, label) in enumerate(labels.items(), 1):
            inside.addWidget(self._button(page, label))
            shortcut = QShortcut(QKeySequence(f"Ctrl+{place}"), window)
            shortcut.activated.connect(lambda page=page: self.pageChosen.emit(page))
        inside.addStretch(1)
        self.setFixedWidth(max(WIDTH_STEPS * step(self), self.sizeHint().width()))

    def select(self, page: str) -> None:
        """Mark the page that is shown; a page without a button leaves the last one marked."""
        self._selected = page
        for each in self._buttons.buttons():
            each.setChecked(_page(each) == page)

    def use(self, colours: Colours) -> None:
        """Paint the icons in a theme's colours."""
        for each in self._buttons.buttons():
            page = _page(each)
            colour = colours.accent if page == self._selected else colours.muted
            each.setIcon(icon(f"page-{page}", colour))

    def _button(self, page: str, label: str) -> QPushButton:
        result = button(label, f"nav-{page}", "nav")
        result.setCheckable(True)
        result.setIconSize(QSize(5 * step(self), 5 * step(self)))
        result.clicked.connect(lambda: self.pageChosen.emit(page))
        self._buttons.addButton(result)
        return result


def _page(button: QWidget) -> str:
    return button.objectName().removeprefix("nav-")
