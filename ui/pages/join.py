"""The Join page takes an invitation and shows who asks before anything is contacted.

Every step can be skipped.
"""

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPlainTextEdit

from agent.errors import AegisError
from agent.status import Status
from ui import theme
from ui.pages.page import Context, Page
from ui.presentation.update_text import grouped_digest
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, row, set_tone, step, text


class JoinPage(Page):
    joined = Signal()
    skipped = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__("joinPage", context.formatter.translate("JoinPage", "Welcome to AegisAI"))
        self._client = context.client
        self.body.addWidget(
            text(
                self.tr(
                    "An invitation names the operator who asks for help with a malware detector."
                    " You see who it is first, and decide afterwards. Nothing is contacted until"
                    " you have said yes."
                ),
                tone="muted",
            )
        )
        self._build_paste()
        self._build_who()
        line = row(of=self)
        self.skip = button(self.tr("Skip for now"), "skipButton", "link")
        self.skip.clicked.connect(self.skipped)
        line.addWidget(self.skip)
        line.addStretch(1)
        self.body.addLayout(line)
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:
        """The person goes through the steps; the Status changes none of them."""

    def _build_paste(self) -> None:
        card = Card(self.tr("Invitation"))
        card.body.addWidget(
            text(
                self.tr(
                    "Paste the text that you were sent. If your organisation set this up, skip this"
                    " step."
                ),
                tone="muted",
            )
        )
        self.invitation = QPlainTextEdit()
        self.invitation.setObjectName("invitationEdit")
        self.invitation.setAccessibleName(self.tr("Invitation"))
        self.invitation.setPlaceholderText("aegis1.…")
        self.invitation.setTabChangesFocus(True)
        self.invitation.setFixedHeight(24 * step(self))
        self.invitation.textChanged.connect(self._edited)
        self.check = button(self.tr("Check the invitation"), "checkButton", "primary")
        self.check.setEnabled(False)
        self.check.clicked.connect(self._check)
        self.problem = text("", tone="danger")
        self.problem.setObjectName("problem")
        self.problem.hide()
        card.body.addWidget(self.invitation)
        card.body.addWidget(self.problem)
        buttons(card.body, self.check, of=self)
        self.body.addWidget(card)

    def _build_who(self) -> None:
        self.who = Card(self.tr("This is who asks"))
        self.who.setObjectName("inspected")
        self._name = text("", factor=theme.HEADING, bold=True)
        self._contact = text("")
        self._facts = text("", tone="muted")
        self._digest = text("", factor=theme.SMALL, tone="muted")
        self.join = button(self.tr("Go on to the question"), "joinNowButton", "primary")
        self.join.clicked.connect(self._join)
        for each in (self._name, self._contact, self._facts, self._digest):
            self.who.body.addWidget(each)
        buttons(self.who.body, self.join, of=self)
        self.who.hide()
        self.body.addWidget(self.who)

    def _edited(self) -> None:
        self.check.setEnabled(bool(self._invitation_text()))
        self.who.hide()
        self.problem.hide()

    def _invitation_text(self) -> str:
        return "".join(self.invitation.toPlainText().split())

    def _check(self) -> None:
        self._client.call(
            "invitation.inspect",
            {"invitation": self._invitation_text()},
            self._inspected,
            self._failed,
        )

    def _inspected(self, result: dict[str, Any]) -> None:
        operator = result["operator"]
        self._name.setText(operator["name"])
        self._contact.setText(self.tr("Contact: {contact}").format(contact=operator["contact"]))
        self._facts.setText(
            self.tr("Server: {server}\nRecipients: {recipients}\nKept: {retention}").format(
                server=result["server"],
                recipients=operator["recipients"],
                retention=operator["retention"],
            )
        )
        digest = str(result["ca_sha256"])
        self._digest.setText(
            self.tr(
                "Certificate digest (SHA-256), to compare with the operator's: {digest}"
            ).format(digest=grouped_digest(digest))
        )
        self.who.show()

    def _join(self) -> None:
        self._client.call(
            "enroll", {"invitation": self._invitation_text()}, lambda _: self._done(), self._failed
        )

    def _done(self) -> None:
        self.invitation.clear()
        self.joined.emit()

    def _failed(self, error: AegisError) -> None:
        self.problem.setText(str(error))
        set_tone(self.problem, "danger")
        self.problem.show()
