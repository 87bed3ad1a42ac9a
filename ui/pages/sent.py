"""The Sent page lists every update that left this computer, with its exact bytes and digest."""

import shutil
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QTableWidget,
    QTableWidgetItem,
)

from agent.errors import AegisError
from agent.status import Status
from ui import theme
from ui.pages.page import Context, Page
from ui.presentation.epsilon_text import epsilon_text
from ui.presentation.locale_formatter import counted
from ui.presentation.status_labels import delivery_label
from ui.presentation.update_text import first_bytes, grouped_digest, header_text, hex_lines
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, set_tone, step, text

PAGE_ROWS = 200
ROWS_SHOWN = 6


class SentPage(Page):
    def __init__(self, context: Context) -> None:
        super().__init__("sentPage", context.formatter.translate("SentPage", "Sent"))
        self._context = context
        self._client = context.client
        self._entries: list[dict[str, Any]] = []
        self._charges: dict[str, dict[str, Any]] = {}
        self._shown: tuple[int, int] | None = None
        self._path = ""
        self._summary = text("", tone="muted")
        self.body.addWidget(self._summary)
        self._build_table()
        self._build_detail()
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:  # noqa: ARG002  every page takes both
        if status is None:
            self._summary.setText(self.tr("AegisAI is not running."))
            self._shown = None
            return
        counts = (status.sent.count, status.budget.charges)
        if counts != self._shown:
            self._shown = counts
            newest = {"offset": max(0, status.budget.charges - PAGE_ROWS), "limit": PAGE_ROWS}
            self._client.call("ledger", newest, self._show_ledger)

    def opened(self) -> None:
        self._shown = None

    def _build_table(self) -> None:
        self._table_card = Card()
        self.table = QTableWidget(0, 5)
        self.table.setObjectName("sentTable")
        self.table.setAccessibleName(self.tr("Updates that were sent"))
        headings = [
            self.tr("When"),
            self.tr("Round"),
            self.tr("Size"),
            self.tr("Charged"),
            self.tr("State"),
        ]
        self.table.setHorizontalHeaderLabels(headings)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setShowGrid(False)
        self.table.horizontalHeader().setDefaultAlignment(
            Qt.AlignmentFlag.AlignLeading | Qt.AlignmentFlag.AlignVCenter
        )
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.table.itemSelectionChanged.connect(self._selected)
        self._table_card.body.setContentsMargins(step(self), step(self), step(self), step(self))
        self._table_card.body.addWidget(self.table)
        self._table_card.hide()
        self.body.addWidget(self._table_card)

    def _build_detail(self) -> None:
        self.detail = Card(self.tr("What was inside"))
        self.detail.setObjectName("sentDetail")
        self._digest, self._receipt, self._meaning = text(""), text(""), text("", tone="muted")
        self._digest.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._digest.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._digest.setAccessibleName(self.tr("Digest of the bytes"))
        caption = text(
            self.tr("SHA-256 of the bytes that were sent"), factor=theme.SMALL, tone="muted"
        )
        self.content = QPlainTextEdit()
        self.content.setObjectName("sentContent")
        self.content.setAccessibleName(self.tr("Header and first bytes"))
        self.content.setReadOnly(True)
        self.content.setTabChangesFocus(True)
        self.content.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.content.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.content.setFixedHeight(70 * step(self))
        self.save = button(self.tr("Save the exact bytes…"), "saveBytesButton")
        self.save.clicked.connect(self._choose_file)
        for each in (self._receipt, self._meaning, caption, self._digest, self.content):
            self.detail.body.addWidget(each)
        buttons(self.detail.body, self.save, of=self)
        self.detail.hide()
        self.body.addWidget(self.detail)

    def _show_ledger(self, ledger: dict[str, Any]) -> None:
        formatter = self._context.formatter
        row = self.table.currentRow()
        chosen = self._entries[row]["attempt"] if 0 <= row < len(self._entries) else ""
        self._charges = {charge["attempt"]: charge for charge in ledger["charges"]}
        self._entries = list(reversed(ledger["outbox"]))
        self.table.setRowCount(len(self._entries))
        for place, entry in enumerate(self._entries):
            charge = self._charges.get(entry["attempt"], {})
            values = (
                formatter.moment(entry["created_at"]),
                str(entry["round_id"]),
                formatter.size(entry["bytes"]),
                f"ε = {epsilon_text(charge.get('epsilon'), formatter)}",
                delivery_label(entry["state"], formatter),
            )
            for at, value in enumerate(values):
                self.table.setItem(place, at, QTableWidgetItem(value))
        self._table_card.setVisible(bool(self._entries))
        self.detail.setVisible(bool(self._entries))
        self._fit_table()
        if not self._entries:
            self._summary.setText(
                self.tr(
                    "No update has been sent from this computer. Each will be listed here"
                    " with its exact bytes."
                )
            )
            return
        totals = ledger["totals"]
        summary = counted(
            int(totals["sent"]), self.tr("1 update was sent"), self.tr("{count} updates were sent")
        )
        summary += self.tr(", {size} in all. Files and features never leave this computer.").format(
            size=formatter.size(totals["bytes_up"])
        )
        if older := max(0, int(totals["charges"]) - len(self._entries)):
            summary += counted(
                older,
                self.tr(" The oldest is not listed here; the file that Privacy exports has it."),
                self.tr(
                    " The {count} oldest are not listed here; the file that Privacy exports has"
                    " them all."
                ),
            )
        self._summary.setText(summary)
        attempts = [entry["attempt"] for entry in self._entries]
        with QSignalBlocker(self.table):
            self.table.selectRow(attempts.index(chosen) if chosen in attempts else 0)
        self._selected()

    def _fit_table(self) -> None:
        self.table.resizeRowsToContents()
        heights = [
            self.table.rowHeight(place) for place in range(min(ROWS_SHOWN, self.table.rowCount()))
        ]
        self.table.setFixedHeight(
            sum(heights)
            + self.table.horizontalHeader().sizeHint().height()
            + 2 * self.table.frameWidth()
            + 4
        )

    def _selected(self) -> None:
        place = self.table.currentRow()
        if 0 <= place < len(self._entries):
            self._client.call(
                "sent.show",
                {"attempt": self._entries[place]["attempt"]},
                self._show_entry,
                self._show_failed,
            )

    def _show_entry(self, shown: dict[str, Any]) -> None:
        entry, charge = shown["entry"], self._charges.get(shown["entry"]["attempt"], {})
        self._digest.setText(grouped_digest(entry["sha256"]))
        self._show_receipt(self._receipt, entry)
        noise = (
            self.tr("all noise added on this device")
            if charge.get("mode") == "local"
            else self.tr("masked; only a sum can be read")
        )
        self._meaning.setText(
            self.tr(
                "A clipped, noised update of the model from version {version}: {noise}."
            ).format(version=charge.get("model_version", "–"), noise=noise)
        )
        self._path = shown["path"] or ""
        self.save.setEnabled(bool(self._path))
        header = header_text(shown["header"]) if shown["header"] else ""
        content = (
            hex_lines(first_bytes(self._path))
            if self._path
            else [self.tr("The bytes were discarded when you withdrew.")]
        )
        self.content.setPlainText("\n".join([header, "", *content]).strip())

    def _show_receipt(self, label: QLabel, entry: dict[str, Any]) -> None:
        receipt = (entry["receipt"] or {}).get("receipt")  # its neighbour is the signature
        if receipt is None:
            label.setText(self.tr("The server has not confirmed it."))
            set_tone(label, "muted")
        elif (
            receipt.get("body_sha256") == entry["sha256"] and receipt.get("bytes") == entry["bytes"]
        ):
            label.setText(self.tr("The server's signed receipt names exactly these bytes."))
            set_tone(label, "good")
        else:
            label.setText(self.tr("The server's receipt names other bytes than these."))
            set_tone(label, "danger")

    def _show_failed(self, error: AegisError) -> None:
        self._receipt.setText(str(error))
        set_tone(self._receipt, "danger")

    def _choose_file(self) -> None:
        dialog = QFileDialog(
            self, self.tr("Save the exact bytes"), str(Path.home() / Path(self._path).name)
        )
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.fileSelected.connect(lambda chosen: self.save_to(Path(chosen)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def save_to(self, path: Path) -> None:
        """Copy the bytes of the selected update to a file of the person's choice."""
        try:
            shutil.copyfile(self._path, path)
        except OSError as error:
            self._receipt.setText(
                self.tr("The file could not be written ({reason}).").format(reason=error.strerror)
            )
            set_tone(self._receipt, "danger")
