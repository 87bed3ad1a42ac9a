"""The question: may this computer contribute? One notice, two equal answers, and no third way to say yes.

1. Plain buttons of one class, size and look; none is a default, none has the focus at first (C2, C3).
2. Only activating `grantButton` grants. Enter without a focused button, Esc, closing, a second launch and time grant nothing (C2).
3. How to withdraw stands above the buttons (C9); everything else is one click away, in the same window (C8).
4. Closing is "not now": DISMISSED, once, and the dialog does not come back by itself (C4, C17).
"""

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QCloseEvent, QFontDatabase, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QDialog, QFrame, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from agent.consent.notice import Decision, Notice
from ui import theme
from ui.widgets import button, column, row, rule, step, text

EXAMPLE_HEX_BYTES = 256


class ConsentDialog(QDialog):
    """Shows `notice`. `decided` is emitted exactly once, with DISMISSED when the dialog is closed without an answer."""

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
        whole = column(self, margin=6, gap=3)
        self._scroll = _scroll_area(notice.title)
        whole.addWidget(self._scroll, 1)
        inside = self._inside = _inside(self._scroll)
        inside.addWidget(text(notice.title, factor=theme.TITLE, bold=True))
        for paragraph in notice.first_layer:
            inside.addWidget(text(paragraph))
        inside.addStretch(1)
        self.details = self._details_panel()
        self.details.hide()
        inside.addWidget(self.details)
        whole.addWidget(rule())
        question = text(notice.question, factor=theme.HEADING, bold=True)
        question.setObjectName("question")
        whole.addWidget(question)
        self.grant_button = button(notice.grant_label, "grantButton")
        self.refuse_button = button(notice.refuse_label, "refuseButton")
        self.details_button = button(notice.details_label, "detailsButton", "link")
        whole.addLayout(self._choices())
        self.grant_button.clicked.connect(lambda: self._decide(Decision.GRANT))
        self.refuse_button.clicked.connect(lambda: self._decide(Decision.REFUSE))
        self.details_button.clicked.connect(self._toggle_details)
        self.setTabOrder(self.grant_button, self.refuse_button)
        self.setTabOrder(self.refuse_button, self.details_button)
        self.setTabOrder(self.details_button, self.example_button)

    @property
    def notice(self) -> Notice:
        return self._notice

    def show_example(self, example: dict[str, Any]) -> None:
        """Show what the agent's `preview` answered: the bundled example file's figures and the bytes that would be sent."""
        self.example.setPlainText(example_text(example))
        self.example.show()
        self.example_note.hide()
        self._scroll.ensureWidgetVisible(self.example)

    def show_example_failed(self, message: str) -> None:
        self.example_note.setText(message)
        self.example_note.show()

    def sizeHint(self) -> QSize:
        unit = step(self)
        available = self.screen().availableGeometry().size() if self.screen() else QSize(1280, 800)
        return QSize(min(150 * unit, available.width() - 10 * unit), min(self._wanted_height(), available.height() - 12 * unit))

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
        """Both answers side by side in equal width, Details below: the same order in every dialog."""
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
        below.addStretch(1)
        layout.addLayout(below)
        return layout

    def _details_panel(self) -> QFrame:
        panel = QFrame()
        panel.setObjectName("details")
        panel.setProperty("well", True)
        inside = column(panel, margin=4, gap=1)
        for heading, body in self._notice.details:
            inside.addWidget(text(heading, bold=True))
            inside.addWidget(text(body))
            inside.addSpacing(2 * step(self))
        self.example_button = button(self.tr("See a real example"), "exampleButton")
        self.example_button.clicked.connect(self.exampleWanted)
        line = row(of=self)
        line.addWidget(self.example_button)
        line.addStretch(1)
        inside.addLayout(line)
        self.example_note = text("", tone="muted")
        self.example_note.hide()
        inside.addWidget(self.example_note)
        self.example = QPlainTextEdit()
        self.example.setObjectName("example")
        self.example.setAccessibleName(self.tr("Example of what is read and sent"))
        self.example.setReadOnly(True)
        self.example.setTabChangesFocus(True)
        self.example.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.example.setMinimumHeight(60 * step(self))
        self.example.hide()
        inside.addWidget(self.example)
        return panel

    def _toggle_details(self) -> None:
        self.details.setVisible(self.details.isHidden())
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        if not self.details.isHidden():
            self._scroll.ensureVisible(0, self.details.y() + self._scroll.viewport().height() // 2)
        else:
            self._scroll.ensureVisible(0, 0)

    def _wanted_height(self) -> int:
        unit = step(self)
        width = 150 * unit - 12 * unit
        first = sum(
            widget.heightForWidth(width) + 3 * unit
            for place in range(self._inside.count())
            if (item := self._inside.itemAt(place)) is not None and (widget := item.widget()) is not None and widget is not self.details
        )
        return first + 62 * unit


def example_text(example: dict[str, Any]) -> str:
    """The preview as text: the feature row, then the envelope and the first bytes of what would be sent."""
    features = example.get("features", {})
    width = max((len(name) for name in features), default=0)
    update = example.get("update", {})
    lines = [f"# {example.get('label', '')}", ""]
    lines += [f"{name:<{width}}  {value}" for name, value in features.items()]
    lines += ["", f"# {update.get('bytes', 0)} bytes", "", json.dumps(update.get("header"), indent=1, ensure_ascii=False), ""]
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
    lines = [f"{at:06x}  {content[at : at + 16].hex(' ')}" for at in range(0, min(len(content), limit), 16)]
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
    return column(canvas, gap=3)
