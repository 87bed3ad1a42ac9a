"""The consent dialog asks whether this computer may contribute.

1. Both answers are plain buttons of one class, size and look. Neither is the default and neither
   has the focus at first (C2, C3).
2. Only activating `grantButton` grants. Enter without a focused button, Esc, closing, a second
   launch and the passing of time grant nothing (C2).
3. How to withdraw is stated above the buttons (C9). Everything else is one click away in the same
   window (C8).
4. Closing means "not now": the dialog reports DISMISSED once and does not open again by itself
   (C4, C17).
"""

from typing import Any

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QCloseEvent, QFontDatabase, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QFrame,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from agent.consent.notice import Decision, Notice
from ui import theme
from ui.presentation.update_text import preview_text
from ui.widgets import button, column, row, rule, step, text


class ConsentDialog(QDialog):
    """Shows one notice and its question.

    `decided` is emitted exactly once, with DISMISSED when the dialog is closed without an answer.
    """

    decided = Signal(Decision)
    exampleRequested = Signal()

    def __init__(self, notice: Notice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._notice = notice
        self._is_decided = False
        self.setObjectName("consentDialog")
        self.setWindowTitle(notice.title)
        self.setModal(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        layout = self._column = column(self, margin=6, gap=3)
        self.scroll_area = _scroll_area(notice.title)
        layout.addWidget(self.scroll_area, 1)
        content = self._content = _content(self.scroll_area)
        content.addWidget(text(notice.title, factor=theme.TITLE, bold=True))
        for paragraph in notice.first_layer:
            content.addWidget(text(paragraph))
        self.details = self._details_panel()
        self.example_panel = self._example_panel()
        for panel in (self.details, self.example_panel):
            panel.hide()
            content.addWidget(panel)
        content.addStretch(1)
        layout.addWidget(rule())
        self._question = text(notice.question, factor=theme.HEADING, bold=True)
        self._question.setObjectName("question")
        layout.addWidget(self._question)
        self.grant_button = button(notice.grant_label, "grantButton")
        self.refuse_button = button(notice.refuse_label, "refuseButton")
        self.details_button = button(notice.details_label, "detailsButton", "link")
        self.example_button = button(self.tr("See a real example"), "exampleButton", "link")
        layout.addLayout(self._choices())
        self.grant_button.clicked.connect(lambda: self._decide(Decision.GRANT))
        self.refuse_button.clicked.connect(lambda: self._decide(Decision.REFUSE))
        self.details_button.clicked.connect(self._toggle_details)
        self.example_button.clicked.connect(self._toggle_example)
        self.setTabOrder(self.grant_button, self.refuse_button)
        self.setTabOrder(self.refuse_button, self.details_button)
        self.setTabOrder(self.details_button, self.example_button)
        self.resize(self.sizeHint())  # Qt itself would use two thirds of the screen at most

    @property
    def notice(self) -> Notice:
        return self._notice

    def show_example(self, example: dict[str, Any]) -> None:
        """Show the agent's answer to `preview`: the features of the bundled example file and the
        bytes of an update.
        """
        self.example.setPlainText(preview_text(example))
        self.example_note.setText(
            self.tr("Nothing of yours was read for this, and nothing was sent.")
        )

    def show_example_failed(self, message: str) -> None:
        self.example_note.setText(message)

    def sizeHint(self) -> QSize:
        unit = step(self)
        available = self.screen().availableGeometry().size() if self.screen() else QSize(1280, 800)
        widest, room = available.width() - 10 * unit, available.height() - 12 * unit
        width = min(150 * unit, widest)
        if self._full_height(width) > room:  # a low screen: longer lines need less height
            width = min(190 * unit, widest)
        return QSize(width, min(self._full_height(width), room))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.setFocus(
            Qt.FocusReason.OtherFocusReason
        )  # the dialog itself, so neither answer has it

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()  # Qt would press a default button
            return
        super().keyPressEvent(event)

    def reject(self) -> None:
        self._decide(Decision.DISMISSED)

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self._is_decided:
            self._is_decided = True
            self.decided.emit(Decision.DISMISSED)
        event.accept()

    def _decide(self, decision: Decision) -> None:
        if self._is_decided:
            return
        self._is_decided = True
        self.decided.emit(decision)
        self.done(0)

    def _choices(self) -> QVBoxLayout:
        """Both answers side by side at equal width, Details below."""
        for choice in (self.grant_button, self.refuse_button):
            choice.setMinimumHeight(9 * step(self))
        width = max(self.grant_button.sizeHint().width(), self.refuse_button.sizeHint().width())
        answers = row(of=self, gap=3)
        for choice in (self.grant_button, self.refuse_button):
            choice.setMinimumWidth(width)
            answers.addWidget(choice, 1)
        layout = QVBoxLayout()
        layout.setSpacing(2 * step(self))
        layout.addLayout(answers)
        below = row(of=self)
        below.addWidget(self.details_button)
        below.addWidget(self.example_button)
        below.addStretch(1)
        layout.addLayout(below)
        return layout

    def _details_panel(self) -> QFrame:
        panel = QFrame()
        panel.setObjectName("details")
        panel.setProperty("well", True)
        inside = column(panel, margin=4, gap=1)
        for place, (heading, body) in enumerate(self._notice.details):
            if place:
                inside.addSpacing(2 * step(self))
            inside.addWidget(text(heading, bold=True))
            inside.addWidget(text(body))
        return panel

    def _example_panel(self) -> QFrame:
        panel = QFrame()
        panel.setProperty("well", True)
        inside = column(panel, margin=4, gap=1)
        inside.addWidget(
            text(
                self.tr("A bundled example file, and what an update made of it would send"),
                bold=True,
            )
        )
        self.example_note = text("", tone="muted")
        inside.addWidget(self.example_note)
        self.example = QPlainTextEdit()
        self.example.setObjectName("example")
        self.example.setAccessibleName(self.tr("Example of what is read and sent"))
        self.example.setReadOnly(True)
        self.example.setTabChangesFocus(True)
        self.example.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.example.setMinimumHeight(60 * step(self))
        inside.addWidget(self.example)
        return panel

    def _toggle_details(self) -> None:
        self._reveal(self.details, shown=self.details.isHidden())

    def _toggle_example(self) -> None:
        if self.example_panel.isHidden():
            self.example_note.setText(self.tr("One moment…"))
            self.exampleRequested.emit()
        self._reveal(self.example_panel, shown=self.example_panel.isHidden())

    def _reveal(self, panel: QFrame, *, shown: bool) -> None:
        panel.setVisible(shown)
        if shown and self.screen() is not None:
            room = self.screen().availableGeometry().height() - 12 * step(self)
            self.resize(self.width(), max(self.height(), min(room, 190 * step(self))))
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        self.scroll_area.verticalScrollBar().setValue(panel.y() if shown else 0)

    def _full_height(self, width: int) -> int:
        """The height that shows the first layer and the buttons without scrolling."""
        unit = step(self)
        inner = width - 12 * unit
        below = self._column.sizeHint().height() - self.scroll_area.sizeHint().height()
        below += self._question.heightForWidth(inner) - self._question.sizeHint().height()
        return self._content.heightForWidth(inner) + below + 3 * unit


def _scroll_area(name: str) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setAccessibleName(name)
    return area


def _content(area: QScrollArea) -> QVBoxLayout:
    canvas = QWidget()
    canvas.setObjectName("canvas")
    area.setWidget(canvas)
    inside = column(canvas, gap=3)
    inside.setContentsMargins(0, 0, 2 * step(canvas), 0)  # the scroll bar's room
    return inside
