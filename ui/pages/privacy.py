"""The Privacy page shows the decision and who asks, exports everything stored, and erases it."""

from pathlib import Path
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QFrame, QLabel

from agent.errors import AegisError
from agent.status import ConsentState, Status
from ui.pages.page import Context, Page
from ui.presentation.locale_formatter import counted
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, column, row, set_tone, text


class PrivacyPage(Page):
    decideRequested = Signal()
    withdrawRequested = Signal()
    joinRequested = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__("privacyPage", context.formatter.translate("PrivacyPage", "Privacy"))
        self._context = context
        self._client = context.client
        self._sent_shown = -1
        self._build_decision()
        # Withdrawing works without an agent; these do not.
        self._cards_of_agent = (self._build_operator(), self._build_export(), self._build_erase())
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:
        for card in self._cards_of_agent:
            card.setEnabled(status is not None)
        self._decision.setText(view.consent or view.headline)
        self._decision_note.setText(view.consent_note or view.detail)
        self.withdraw.setVisible(view.can_withdraw)
        self.decide.setVisible(not view.can_withdraw)
        self.decide.setEnabled(status is not None)
        operator = status.operator if status else None
        self.join.setVisible(status is not None and operator is None)
        if operator is None:
            self._operator.setText(
                self.tr(
                    "Nobody yet. When you enter an invitation, its operator is shown here before"
                    " you decide."
                )
            )
        else:
            self._operator.setText(f"{operator.name}\n{operator.contact}\n{operator.server}")
        self._pending.setVisible(bool(status and status.erase_pending))
        if status is not None and status.sent.count != self._sent_shown:
            self._sent_shown = status.sent.count
            self._client.call(
                "ledger", {"limit": 1000}, self._show_summed, lambda _: self._summed.hide()
            )
        if status is not None and status.consent.state is ConsentState.STALE:
            self._decision_note.setText(
                self.tr(
                    "Until you answer it again, nothing is read for training and nothing is sent."
                )
            )

    def opened(self) -> None:
        self._sent_shown = -1

    def export_to(self, path: Path) -> None:
        """Ask the agent to write everything that it stores into one file."""
        self._client.call("export", {"path": str(path)}, self._exported, self._export_failed)

    def _build_decision(self) -> None:
        card = Card(self.tr("Your decision"))
        self._decision = text("", bold=True)
        self._decision.setObjectName("decision")
        self._decision_note = text("", tone="muted")
        self.withdraw = button(self.tr("Stop contributing"), "withdrawButton")
        self.decide = button(self.tr("Review and decide"), "decideButton", "primary")
        self._summed = text("", tone="muted")
        self._summed.setObjectName("stays")
        self._summed.hide()
        for each in (self._decision, self._decision_note, self._summed):
            card.body.addWidget(each)
        buttons(card.body, self.withdraw, self.decide, of=self)
        self.withdraw.clicked.connect(self.withdrawRequested)
        self.decide.clicked.connect(self.decideRequested)
        self.body.addWidget(card)

    def _build_operator(self) -> Card:
        card = Card(self.tr("Who asks"))
        self._operator = text("")
        self.join = button(self.tr("Enter an invitation"), "joinButton")
        card.body.addWidget(self._operator)
        buttons(card.body, self.join, of=self)
        self.join.clicked.connect(self.joinRequested)
        self.body.addWidget(card)
        return card

    def _build_export(self) -> Card:
        card = Card(self.tr("Your copy"))
        card.body.addWidget(
            text(
                self.tr(
                    "One file with everything that is stored about you here: decisions, settings,"
                    " samples, every charge, and every update that was sent, byte for byte."
                ),
                tone="muted",
            )
        )
        self.export = button(self.tr("Export to a file…"), "exportButton")
        self._export_note = text("")
        self._export_note.hide()
        buttons(card.body, self.export, of=self)
        card.body.addWidget(self._export_note)
        self.export.clicked.connect(self._choose_file)
        self.body.addWidget(card)
        return card

    def _build_erase(self) -> Card:
        card = Card(self.tr("Erase"))
        card.body.addWidget(
            text(
                self.tr(
                    "Destroys this device's identity and everything stored here at once, also"
                    " offline, and asks the server to forget it. You will need a new invitation to"
                    " take part again. What was already summed into a model stays in it. The"
                    " lifetime ε starts at 0 again, although what was sent stays sent."
                ),
                tone="muted",
            )
        )
        self.erase = button(self.tr("Erase…"), "eraseButton")
        buttons(card.body, self.erase, of=self)
        self.confirm = QFrame()
        self.confirm.setObjectName("eraseConfirm")
        self.confirm.setProperty("well", True)
        inside = column(self.confirm, margin=4)
        inside.addWidget(text(self.tr("Erase everything that AegisAI holds about you?"), bold=True))
        self.erase_now = button(self.tr("Erase everything"), "eraseNowButton")
        self.keep = button(self.tr("Keep everything"), "keepButton")
        answers = row(of=self)
        answers.addWidget(self.erase_now)
        answers.addWidget(self.keep)
        answers.addStretch(1)
        inside.addLayout(answers)
        self.confirm.hide()
        card.body.addWidget(self.confirm)
        self._pending = text(
            self.tr("The server has not confirmed the erasure yet; AegisAI keeps trying."),
            tone="warning",
        )
        self._erase_note = text("")
        self._erase_note.hide()
        card.body.addWidget(self._pending)
        card.body.addWidget(self._erase_note)
        self.erase_here = button(self.tr("Erase here only"), "eraseHereButton")
        self.erase_here.hide()
        card.body.addWidget(self.erase_here)
        self.erase_here.clicked.connect(lambda: self._erase(here_only=True))
        self.erase.clicked.connect(lambda: self.confirm.setVisible(self.confirm.isHidden()))
        self.keep.clicked.connect(self.confirm.hide)
        self.erase_now.clicked.connect(lambda: self._erase())
        self.body.addWidget(card)
        return card

    def _choose_file(self) -> None:
        dialog = QFileDialog(
            self, self.tr("Export to a file"), str(Path.home() / "aegisai-export.json")
        )
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("json")
        dialog.fileSelected.connect(lambda chosen: self.export_to(Path(chosen)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _exported(self, result: dict[str, Any]) -> None:
        size = self._context.formatter.size(int(result["bytes"]))
        self._note(
            self._export_note,
            self.tr("Written: {file} ({size})").format(file=result["file"], size=size),
            "good",
        )

    def _export_failed(self, error: AegisError) -> None:
        self._note(self._export_note, str(error), "danger")

    def _erase(self, *, here_only: bool = False) -> None:
        self.confirm.hide()
        self.erase_here.hide()
        params = {"here_only": True} if here_only else {}
        self._client.call("erase", params, self._erased, self._erase_failed)

    def _erase_failed(self, error: AegisError) -> None:
        self._note(self._erase_note, str(error), "danger")
        # Of the key store's errors; after any other one, erasing here only would not help.
        self.erase_here.setVisible(error.code.startswith(("KEYRING_", "PASSPHRASE", "CREDENTIAL")))

    def _erased(self, result: dict[str, Any]) -> None:
        if result["server_cannot_be_told"]:
            outcome = self.tr(
                "Erased here. The server cannot be notified, because the key that proves who asks"
                " could not be read; contact the operator."
            )
        elif result["pending"]:
            outcome = self.tr(
                "Erased here. The server will be notified as soon as it can be reached."
            )
        else:
            outcome = self.tr("Erased.")
        reset = self.tr("The lifetime ε starts at 0 again.")
        self._note(self._erase_note, f"{outcome} {reset}", "good")

    def _show_summed(self, ledger: dict[str, Any]) -> None:
        """State what withdrawing cannot undo: the updates that the server received (C12)."""
        received = {
            entry["attempt"] for entry in ledger["outbox"] if entry["state"] == "acknowledged"
        }
        versions = [
            int(charge["model_version"])
            for charge in ledger["charges"]
            if charge["attempt"] in received
        ]
        self._summed.setVisible(bool(versions))
        if not versions:
            return
        first, last = min(versions), max(versions)
        span = self.tr(" summed into the models made from versions {first} to {last}.")
        if first == last:
            span = self.tr(" summed into the model made from version {first}.")
        self._summed.setText(
            counted(
                len(versions),
                self.tr("1 update from this device was sent and stays"),
                self.tr("{count} updates from this device were sent and stay"),
            )
            + span.format(first=first, last=last)
        )

    def _note(self, label: QLabel, message: str, tone: str) -> None:
        label.setText(message)
        set_tone(label, tone)
        label.show()
