"""The Activity page shows current readings, the bytes sent each day, and the agent's self-check."""

from typing import Any

from PySide6.QtWidgets import QVBoxLayout

from agent.errors import AegisError
from agent.status import Status
from ui import theme
from ui.gauges import Sparkline
from ui.pages.page import Context, Page
from ui.presentation.reading_labels import reading_label
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, clear, row, rule, set_tone, step, text

DAY_S = 24 * 3600
DAYS_SHOWN = 30
LEDGER_ROWS = 1000


class ActivityPage(Page):
    def __init__(self, context: Context) -> None:
        super().__init__("activityPage", context.formatter.translate("ActivityPage", "Activity"))
        self._context = context
        self._client = context.client
        self._shown: tuple[int, int] | None = None
        readings = Card(self.tr("Measured now"))
        self._readings = self._rows(readings)
        self.body.addWidget(readings)
        sent = Card(self.tr("Bytes sent in the last 30 days"))
        self.sparkline = Sparkline(context.theme.colours, self.tr("Bytes sent in the last 30 days"))
        self._sparkline_text = text("", factor=theme.SMALL, tone="muted")
        sent.body.addWidget(self.sparkline)
        sent.body.addWidget(self._sparkline_text)
        self.body.addWidget(sent)
        checks = Card(self.tr("Does everything work?"))
        self._checks = self._rows(checks)
        self.check = button(self.tr("Check this computer"), "checkComputerButton")
        self.check.clicked.connect(self._run_checks)
        buttons(checks.body, self.check, of=self)
        self.body.addWidget(checks)
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:  # noqa: ARG002  every page takes both
        self.sparkline.use(self._context.theme.colours)
        self.check.setEnabled(status is not None)
        clear(self._readings)
        for place, reading in enumerate(status.readings if status else ()):
            if place:
                self._readings.addWidget(rule())
            label = reading_label(reading, self._context.formatter)
            self._readings.addLayout(
                self._pair(label.name, label.value, label.note, "" if label.is_known else "muted")
            )
        if not status or not status.readings:
            self._readings.addWidget(
                text(
                    self.tr("Nothing is measured now: without your consent nothing runs."),
                    tone="muted",
                )
            )
        counts = (status.sent.count, status.budget.charges) if status is not None else None
        if status is not None and counts != self._shown:
            newest = {"offset": max(0, status.budget.charges - LEDGER_ROWS), "limit": LEDGER_ROWS}
            self._client.call("ledger", newest, self._show_sent)
        self._shown = counts

    def opened(self) -> None:
        self._shown = None

    def _rows(self, card: Card) -> QVBoxLayout:
        layout = QVBoxLayout()
        layout.setSpacing(2 * step(self))
        card.body.addLayout(layout)
        return layout

    def _pair(self, name: str, value: str, note: str, tone: str = "") -> QVBoxLayout:
        whole = QVBoxLayout()
        whole.setSpacing(0)
        line = row(of=self, gap=4)
        line.addWidget(text(name, tone="muted"), 2)
        line.addWidget(text(value, tone=tone), 3)
        whole.addLayout(line)
        if note:
            below = row(of=self, gap=4)
            below.addWidget(text("", factor=theme.SMALL), 2)
            below.addWidget(text(note, factor=theme.SMALL, tone="muted"), 3)
            whole.addLayout(below)
        return whole

    def _show_sent(self, ledger: dict[str, Any]) -> None:
        """Add up the bytes that the server received on each day; the last day is today."""
        today = self._context.now() // DAY_S
        bytes_by_day = [0.0] * DAYS_SHOWN
        for entry in ledger["outbox"]:
            if entry["state"] != "acknowledged":
                continue
            place = DAYS_SHOWN - 1 - (today - entry["settled_at"] // DAY_S)
            if 0 <= place < DAYS_SHOWN:
                bytes_by_day[place] += entry["bytes"]
        formatter = self._context.formatter
        summary = self.tr("{total} in all, at most {most} a day.").format(
            total=formatter.size(int(sum(bytes_by_day))),
            most=formatter.size(int(max(bytes_by_day))),
        )
        self.sparkline.show_values(bytes_by_day, summary)
        self._sparkline_text.setText(summary)

    def _run_checks(self) -> None:
        self.check.setEnabled(False)
        self._client.call("doctor", {}, self._show_checks, self._failed)

    def _show_checks(self, answer: dict[str, Any]) -> None:
        self.check.setEnabled(True)
        clear(self._checks)
        marks = {
            True: (self.tr("Works"), "good"),
            False: (self.tr("Needs fixing"), "danger"),
            None: (self.tr("Unknown"), "muted"),
        }
        for place, check in enumerate(answer["checks"]):
            if place:
                self._checks.addWidget(rule())
            mark, tone = marks[check["ok"]]
            self._checks.addLayout(
                self._pair(check["name"], f"{mark}: {check['value']}", check["remedy"], tone)
            )

    def _failed(self, error: AegisError) -> None:
        self.check.setEnabled(True)
        clear(self._checks)
        label = text(str(error))
        set_tone(label, "danger")
        self._checks.addWidget(label)
