"""The question: may this computer contribute? One notice, two equal answers, and no third way to
say yes.

1. Plain buttons of one class, size and look; none is a default, none has the focus at first (C2,
   C3).
2. Only activating `grantButton` grants. Enter without a focused button, Esc, closing, a second
   launch and time grant nothing (C2).
3. How to withdraw stands above the buttons (C9); everything else is one click away, in the same
   window (C8).
4. Closing is "not now": DISMISSED, once, and the dialog does not come back by itself (C4, C17).
"""

import json
from pathlib import Path
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
from ui.widgets import button, column, row, rule, step, text

EXAMPLE_HEX_BYTES = 256


class ConsentDialog(QDialog):
    """Shows `notice`.

    `decided` is emitted exactly once, with DISMISSED when the dialog is closed without an answer.
    """

    decided = Signal(Decision)
    exampleWanted = Signal()

    def __init__(self, notice: Notice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._notice = notice
        self._is_decided = False
        self.setObjectName("consentDialog")
        self.setWindowTitle(notice.title)
        self.setModal(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        whole = self._whole = column(self, margin=6, gap=3)
        self._scroll = _scroll_area(notice.title)
        whole.addWidget(self._scroll, 1)
        inside = self._inside = _inside(self._scroll)
        inside.addWidget(text(notice.title, factor=theme.TITLE, bold=True))
        for paragraph in notice.first_layer:
            inside.addWidget(text(paragraph))
        self.details = self._details_panel()
        self.example_panel = self._example_panel()
        for panel in (self.details, self.example_panel):
            panel.hide()
            inside.addWidget(panel)
        inside.addStretch(1)
        whole.addWidget(rule())
        self._question = text(notice.question, factor=theme.HEADING, bold=True)
        self._question.setObjectName("question")
        whole.addWidget(self._question)
        self.grant_button = button(notice.grant_label, "grantButton")
        self.refuse_button = button(notice.refuse_label, "refuseButton")
        self.details_button = button(notice.details_label, "detailsButton", "link")
        self.example_button = button(self.tr("See a real example"), "exampleButton", "link")
        whole.addLayout(self._choices())
        self.grant_button.clicked.connect(lambda: self._decide(Decision.GRANT))
        self.refuse_button.clicked.connect(lambda: self._decide(Decision.REFUSE))
        self.details_button.clicked.connect(self._toggle_details)
        self.example_button.clicked.connect(self._want_example)
        self.setTabOrder(self.grant_button, self.refuse_button)
        self.setTabOrder(self.refuse_button, self.details_button)
        self.setTabOrder(self.details_button, self.example_button)

    @property
    def notice(self) -> Notice:
        return self._notice

    def show_example(self, example: dict[str, Any]) -> None:
        """Show what the agent's `preview` answered: the bundled example file's figures and the
        bytes that would be sent.
        """
        self.example.setPlainText(example_text(example))
        self.example_note.setText(
            self.tr("Nothing of yours was read for this, and nothing was sent.")
        )

    def show_example_failed(self, message: str) -> None:
        self.example_note.setText(message)

    def sizeHint(self) -> QSize:
        unit = step(self)
        available = self.screen().availableGeometry().size() if self.screen() else QSize(1280, 800)
        width = min(150 * unit, available.width() - 10 * unit)
        return QSize(width, min(self._wanted_height(width), available.height() - 12 * unit))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.setFocus(Qt.FocusReason.OtherFocusReason)  # on the dialog itself: on neither answer

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()  # Qt would look for a default button
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
        """Both answers side by side in equal width, Details below: the same order in every
        dialog.
        """
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

    def _want_example(self) -> None:
        if self.example_panel.isHidden():
            self.example_note.setText(self.tr("One moment…"))
            self.exampleWanted.emit()
        self._reveal(self.example_panel, shown=self.example_panel.isHidden())

    def _reveal(self, panel: QFrame, *, shown: bool) -> None:
        panel.setVisible(shown)
        if shown and self.screen() is not None:
            room = self.screen().availableGeometry().height() - 12 * step(self)
            self.resize(self.width(), max(self.height(), min(room, 190 * step(self))))
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        self._scroll.verticalScrollBar().setValue(panel.y() if shown else 0)

    def _wanted_height(self, width: int) -> int:
        """The whole first layer and the buttons, without scrolling."""
        unit = step(self)
        inner = width - 12 * unit
        below = self._whole.sizeHint().height() - self._scroll.sizeHint().height()
        below += self._question.heightForWidth(inner) - self._question.sizeHint().height()
        return self._inside.heightForWidth(inner) + below + 3 * unit


def example_text(example: dict[str, Any]) -> str:
    """The preview as text: the feature row, then the envelope and the first bytes of what would be
    sent.
    """
    features = example.get("features", {})
    width = max((len(name) for name in features), default=0)
    update = example.get("update", {})
    lines = [f"# {example.get('label', '')}", ""]
    lines += [f"{name:<{width}}  {value}" for name, value in features.items()]
    lines += [
        "",
        f"# {update.get('bytes', 0)} bytes",
        "",
        json.dumps(update.get("header"), indent=1, ensure_ascii=False),
        "",
    ]
    lines += hex_lines(first_bytes(update.get("path")))
    return "\n".join(lines)


def first_bytes(path: object) -> bytes:
    """The beginning of a file that the agent wrote for looking at; empty when it is gone."""
    try:
        with Path(str(path)).open("rb") as file:
            return file.read(EXAMPLE_HEX_BYTES + 1)
    except OSError:
        return b""


def hex_lines(content: bytes, limit: int = EXAMPLE_HEX_BYTES) -> list[str]:
    """Sixteen bytes a line, with their offset."""
    lines = [
        f"{at:06x}  {content[at : at + 16].hex(' ')}"
        for at in range(0, min(len(content), limit), 16)
    ]
    return [*lines, "…"] if len(content) > limit else lines


def _scroll_area(name: str) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setAccessibleName(name)
    return area


def _inside(area: QScrollArea) -> QVBoxLayout:
    canvas = QWidget()
    canvas.setObjectName("canvas")
    area.setWidget(canvas)
    inside = column(canvas, gap=3)
    inside.setContentsMargins(
        0, 0, 2 * step(canvas), 0
    )  # the scroll bar stands beside the text, not on it
    return inside
