"""The Scan page scores files with the current model and adds labelled files as samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
)

from agent.errors import AegisError
from agent.status import Status
from ui.pages.page import Context, Page
from ui.pages.sources import SourcesCard
from ui.presentation.scan_report import (
    MOST_LISTED,
    added_text,
    counts_text,
    listed,
    marked_text,
    why_text,
    worth_text,
)
from ui.presentation.status_labels import verdict_label
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, set_tone, step, text, tooltip

MAX_HEIGHT_STEPS = 90


class ScanPage(Page):
    def __init__(self, context: Context) -> None:
        super().__init__("scanPage", context.formatter.translate("ScanPage", "Scan"))
        self._context = context
        self._client = context.client
        self.body.addWidget(
            text(
                self.tr(
                    "Scores Windows program files with the current model, on this computer. It"
                    " needs no consent and sends nothing."
                ),
                tone="muted",
            )
        )
        self._build_scan()
        self._build_samples()
        self.sources = SourcesCard(context)
        self.body.addWidget(self.sources)
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:
        for each in (self.choose, self.choose_folder):
            each.setEnabled(status is not None)
        for each in (self.add_benign, self.add_malicious):
            each.setEnabled(view.contributes)
        self._counts.setText(view.samples)
        self._counts.setVisible(bool(view.samples))
        self._why.setVisible(status is not None and not view.contributes)
        self._contributes = view.contributes
        self._mark_note.setText(
            self.tr(
                "Select files in the table to say what they are. Your word counts more than any"
                " source's."
            )
            if view.contributes
            else self.tr("With your consent you can say here what a file is.")
        )
        self._enable_marks()
        self.sources.show_view(view, status)

    def scan(self, paths: list[str]) -> None:
        """Ask the agent to score these files and folders, given by their paths."""
        self._report(self._result, self.tr("Scanning…"), "muted")
        self._show_scanning(is_scanning=True)
        self._client.call("scan", {"paths": paths}, self._scanned, self._not_scanned, self._reached)

    def cancel(self) -> None:
        """Ask the agent to end the scan; the scan's own call then fails."""
        self._client.call("scan.cancel", {}, lambda _: None, lambda _: None)

    def add(self, paths: list[str], label: str) -> None:
        """Ask the agent to learn from these files; `label` is benign or malicious."""
        self._report(self._added, self.tr("Reading…"), "muted")
        self._client.call(
            "samples.add",
            {"paths": paths, "label": label},
            lambda answer: self._show_learned(
                self._added, answer, added_text(answer, self._context.formatter)
            ),
            lambda error: self._report(self._added, str(error), "danger"),
        )

    def _build_scan(self) -> None:
        card = Card(self.tr("Scan files"))
        self.choose = button(self.tr("Choose files…"), "chooseFilesButton", "primary")
        self.choose.clicked.connect(lambda: self._pick(self.scan))
        self.choose_folder = button(self.tr("Choose a folder…"), "chooseFolderButton")
        self.choose_folder.clicked.connect(lambda: self._pick(self.scan, is_folder=True))
        self.cancel_button = button(self.tr("Cancel"), "cancelScanButton")
        self.cancel_button.clicked.connect(self.cancel)
        self.cancel_button.hide()
        buttons(card.body, self.choose, self.choose_folder, self.cancel_button, of=self)
        self._result = text("")
        self._result.setObjectName("scanSummary")
        self._worth = text("")
        for label in (self._result, self._worth):
            label.hide()
            card.body.addWidget(label)
        self.table = QTableWidget(0, 4)
        self.table.setObjectName("scanTable")
        self.table.setAccessibleName(self.tr("Results"))
        self.table.setHorizontalHeaderLabels(
            [self.tr("File"), self.tr("Result"), self.tr("Score"), self.tr("Why")]
        )
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setTabKeyNavigation(False)
        self.table.setShowGrid(False)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        header = self.table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeading | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for place in (0, 3):
            header.setSectionResizeMode(place, QHeaderView.ResizeMode.Stretch)
        header.sectionResized.connect(lambda *_: self._fit_rows())
        self.table.hide()
        card.body.addWidget(self.table)
        self._build_marks(card)
        self.body.addWidget(card)

    def _build_marks(self, card: Card) -> None:
        """Let the person say what the selected file is, whatever the model says."""
        self._paths: list[str] = []
        self._contributes = False
        self.mark_benign = button(self.tr("This is safe"), "markBenignButton")
        self.mark_malicious = button(self.tr("This is malware"), "markMaliciousButton")
        self.mark_benign.clicked.connect(lambda: self._mark("benign"))
        self.mark_malicious.clicked.connect(lambda: self._mark("malicious"))
        self.table.itemSelectionChanged.connect(self._enable_marks)
        self._mark_note, self._marked = text("", tone="muted"), text("")
        card.body.addWidget(self._mark_note)
        buttons(card.body, self.mark_benign, self.mark_malicious, of=self)
        card.body.addWidget(self._marked)
        self._show_marks(is_shown=False)

    def _show_marks(self, *, is_shown: bool) -> None:
        for each in (self._mark_note, self.mark_benign, self.mark_malicious):
            each.setVisible(is_shown)
        self._marked.hide()

    def _enable_marks(self) -> None:
        for each in (self.mark_benign, self.mark_malicious):
            each.setEnabled(self._contributes and bool(_selected(self.table, self._paths)))

    def _mark(self, label: str) -> None:
        self._client.call(
            "samples.mark",
            {"paths": _selected(self.table, self._paths), "label": label},
            lambda answer: self._show_learned(
                self._marked, answer, marked_text(answer, self._context.formatter)
            ),
            lambda error: self._report(self._marked, str(error), "danger"),
        )

    def _build_samples(self) -> None:
        card = Card(self.tr("Teach it"))
        card.body.addWidget(
            text(
                self.tr(
                    "Add program files that you know. Their header figures are read and stay here;"
                    " training learns from them. The files themselves are not copied."
                ),
                tone="muted",
            )
        )
        self._counts = text("")
        self._counts.setObjectName("sampleCounts")
        card.body.addWidget(self._counts)
        self.add_benign = button(self.tr("Add benign files…"), "addBenignButton")
        self.add_malicious = button(self.tr("Add malicious files…"), "addMaliciousButton")
        self.add_benign.clicked.connect(lambda: self._pick(lambda paths: self.add(paths, "benign")))
        self.add_malicious.clicked.connect(
            lambda: self._pick(lambda paths: self.add(paths, "malicious"))
        )
        buttons(card.body, self.add_benign, self.add_malicious, of=self)
        self._why = text(
            self.tr("Reading files for training needs your consent first."), tone="muted"
        )
        self._added = text("")
        self._added.hide()
        card.body.addWidget(self._why)
        card.body.addWidget(self._added)
        self.body.addWidget(card)

    def _pick(self, use: Any, *, is_folder: bool = False) -> None:  # a function of the paths
        title = self.tr("Choose a folder") if is_folder else self.tr("Choose files")
        dialog = QFileDialog(self, title, str(Path.home()))
        mode = QFileDialog.FileMode
        dialog.setFileMode(mode.Directory if is_folder else mode.ExistingFiles)
        dialog.filesSelected.connect(use)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _show_scanning(self, *, is_scanning: bool) -> None:
        self.cancel_button.setVisible(is_scanning)
        for each in (self.choose, self.choose_folder):
            each.setVisible(not is_scanning)
        self.table.hide()
        self._worth.hide()
        self._show_marks(is_shown=False)

    def _reached(self, done: int, total: int) -> None:
        progress = self.tr("Scanning… {done} of {total} files").format(done=done, total=total)
        self._report(self._result, progress, "muted")

    def _not_scanned(self, error: AegisError) -> None:
        self._show_scanning(is_scanning=False)
        if error.code == "WORKER_STOPPED":
            self._report(self._result, self.tr("The scan was cancelled."), "muted")
        else:
            self._report(self._result, str(error), "danger")

    def _scanned(self, answer: dict[str, Any]) -> None:
        formatter, counts = self._context.formatter, answer["counts"]
        self._show_scanning(is_scanning=False)
        shown = listed(answer["results"])
        summary = counts_text(counts, formatter)
        if len(answer["results"]) > len(shown) == MOST_LISTED:
            more = self.tr("The table has the first {count}; aegis scan --all lists every file.")
            summary += " " + more.format(count=MOST_LISTED)
        self._report(self._result, summary, "danger" if counts["malicious"] else "")
        doubtful = answer["demonstration"] or answer["model_too_old"]
        self._report(self._worth, worth_text(answer, formatter), "warning" if doubtful else "muted")
        self._fill(shown)

    def _fill(self, results: list[Mapping[str, Any]]) -> None:
        formatter = self._context.formatter
        self._paths = [str(result["path"]) for result in results]
        self.table.setRowCount(len(results))
        for place, result in enumerate(results):
            score = (
                "–"
                if result["probability"] is None
                else formatter.number(float(result["probability"]), 2)
            )
            name, verdict = Path(result["path"]).name, verdict_label(result["verdict"], formatter)
            for at, value in enumerate((name, verdict, score, why_text(result, formatter))):
                item = QTableWidgetItem(value)
                item.setToolTip(tooltip(result["message"] or result["path"]))
                self.table.setItem(place, at, item)
        self.table.setVisible(bool(results))
        self._show_marks(is_shown=bool(results))
        self._fit_rows()

    def _fit_rows(self) -> None:
        """Reasons wrap, so the height of a row follows the width of its column."""
        self.table.resizeRowsToContents()
        rows = sum(self.table.rowHeight(place) for place in range(self.table.rowCount()))
        wanted = rows + self.table.horizontalHeader().sizeHint().height() + 4
        self.table.setFixedHeight(min(wanted, MAX_HEIGHT_STEPS * step(self)))

    def _show_learned(self, label: QLabel, answer: dict[str, Any], words: str) -> None:
        self._report(label, words, "warning" if answer["refused"] else "good")

    def _report(self, label: QLabel, message: str, tone: str) -> None:
        label.setText(message)
        set_tone(label, tone)
        label.show()


def _selected(table: QTableWidget, paths: list[str]) -> list[str]:
    """Return the paths of the selected rows."""
    rows = sorted({index.row() for index in table.selectedIndexes()})
    return [paths[place] for place in rows if place < len(paths)]
