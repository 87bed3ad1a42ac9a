"""The card with the sources of samples: a switch each, the folders, and a search by hand.

The words of a source come from the agent, so that the person decides by what is recorded.
"""

from pathlib import Path
from typing import Any

from PySide6.QtCore import QLocale, QSignalBlocker
from PySide6.QtWidgets import QCheckBox, QFileDialog, QVBoxLayout

from agent.errors import AegisError
from agent.status import Status
from ui import theme
from ui.pages.page import Context
from ui.presentation.locale_formatter import counted
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, clear, row, set_tone, step, text


class SourcesCard(Card):
    """Shows what `sources.show` answers; every change is a call to the agent."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.setObjectName("sourcesCard")
        self._client = context.client
        self._is_loaded = False
        self._is_allowed = False
        self._is_searching = False
        self.body.addWidget(text(self.tr("Sources"), factor=theme.HEADING, bold=True))
        self.body.addWidget(
            text(
                self.tr(
                    "AegisAI can look for program files by itself, in folders that you choose."
                    " Every source is off until you switch it on."
                ),
                tone="muted",
            )
        )
        self._switches, self._folders = QVBoxLayout(), QVBoxLayout()
        for layout in (self._switches, self._folders):
            layout.setSpacing(2 * step(self))
            self.body.addLayout(layout)
        self.add = button(self.tr("Add a folder…"), "addFolderButton")
        self.log = button(self.tr("Choose a scanner's log…"), "scannerLogButton")
        self.search = button(self.tr("Search now"), "searchButton")
        self.add.clicked.connect(self._pick_folder)
        self.log.clicked.connect(self._pick_log)
        self.search.clicked.connect(self._search)
        buttons(self.body, self.add, self.log, self.search, of=self)
        self._why = text(self.tr("Sources need your consent first."), tone="muted")
        self._result = text("")
        for each in (self._why, self._result):
            each.hide()
            self.body.addWidget(each)

    def show_view(self, view: View, status: Status | None) -> None:
        """Show the latest Status; ask for the sources once it is there."""
        allowed = view.contributes
        for each in (self.add, self.log, self.search):
            each.setEnabled(status is not None and allowed)
        self.search.setEnabled(self.search.isEnabled() and not self._is_searching)
        self._why.setVisible(status is not None and not allowed)
        if status is None:
            self._is_loaded = False
        elif not self._is_loaded or allowed != self._is_allowed:
            self._is_loaded, self._is_allowed = True, allowed
            self._client.call("sources.show", {"locale": QLocale().name()}, self._show)

    def choose(self, folder: str) -> None:
        """Let sources search in this folder."""
        self._change("sources.add", {"path": folder})

    def use_log(self, path: str) -> None:
        """Let ClamAV's source read this log."""
        self._change("sources.log", {"path": path})

    def _change(self, method: str, params: dict[str, Any]) -> None:
        self._client.call(method, params, self._show, self._failed)

    def _show(self, answer: dict[str, Any]) -> None:
        clear(self._switches)
        clear(self._folders)
        for source in answer["sources"]:
            self._add_switch(source)
        for folder in answer["folders"]:
            self._add_place(str(folder), str(folder))
        for log in answer["logs"]:
            self._add_place(str(log), self.tr("Log: {path}").format(path=log))
        if not answer["folders"]:
            self._folders.addWidget(
                text(self.tr("No folder is chosen, so nothing is opened."), tone="muted")
            )

    def _add_switch(self, source: dict[str, Any]) -> None:
        count = int(source["rows"])
        found = counted(count, self.tr("1 sample"), self.tr("{count} samples"))
        box = QCheckBox(f"{source['title']} ({found})" if count else source["title"])
        box.setObjectName(f"source:{source['source']}")
        box.setAccessibleName(source["title"])
        box.setAccessibleDescription(source["text"])
        with QSignalBlocker(box):
            box.setChecked(bool(source["on"]))
        box.setEnabled(self._is_allowed or bool(source["on"]))
        box.toggled.connect(lambda on: self._switch(source, on=on))
        self._switches.addWidget(box)
        self._switches.addWidget(text(source["text"], factor=theme.SMALL, tone="muted"))
        if source["problem"]:
            problem = self.tr("The last search could not read all of it ({code}).")
            self._switches.addWidget(
                text(problem.format(code=source["problem"]), factor=theme.SMALL, tone="warning")
            )

    def _switch(self, source: dict[str, Any], *, on: bool) -> None:
        self._client.call(
            "sources.set",
            {
                "source": source["source"],
                "on": on,
                "surface": "window",
                "locale": QLocale().name(),
                "text_sha256": source["text_sha256"],
            },
            self._show,
            self._failed,
        )

    def _add_place(self, path: str, shown: str) -> None:
        """Add a chosen folder or log, with a button that gives it up."""
        line = row(of=self, gap=3)
        line.addWidget(text(shown), 1)
        remove = button(self.tr("Remove"), f"removeFolder:{path}")
        remove.setAccessibleDescription(path)
        remove.clicked.connect(lambda: self._change("sources.remove", {"path": path}))
        line.addWidget(remove)
        self._folders.addLayout(line)

    def _search(self) -> None:
        self._show_searching(is_searching=True)
        self._report(
            self.tr("Searching, within your limits. In large folders this takes a while."), "muted"
        )
        self._client.call("sources.search", {}, self._searched, self._not_searched)

    def _show_searching(self, *, is_searching: bool) -> None:
        self._is_searching = is_searching
        self.search.setEnabled(self._is_allowed and not is_searching)

    def _not_searched(self, error: AegisError) -> None:
        self._show_searching(is_searching=False)
        self._failed(error)

    def _searched(self, answer: dict[str, Any]) -> None:
        self._show_searching(is_searching=False)
        found = counted(
            int(answer["programs"]), self.tr("1 program found"), self.tr("{count} programs found")
        )
        added = counted(
            int(answer["added"]), self.tr("1 new sample"), self.tr("{count} new samples")
        )
        self._report(f"{found}, {added}.", "warning" if answer["unread"] else "good")
        self._client.call("sources.show", {"locale": QLocale().name()}, self._show)

    def _pick_folder(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose a folder"), str(Path.home()))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self.choose)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _pick_log(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose a log of ClamAV"), str(Path.home()))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.use_log)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _failed(self, error: AegisError) -> None:
        self._report(str(error), "danger")
        self._client.call("sources.show", {"locale": QLocale().name()}, self._show)

    def _report(self, message: str, tone: str) -> None:
        self._result.setText(message)
        set_tone(self._result, tone)
        self._result.show()
