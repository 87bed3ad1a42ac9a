"""The last page of the first run says what the person's answer means from now on.

It is shown once, after the question that follows a new invitation.
"""

from PySide6.QtCore import Signal

from agent.status import Status
from ui import theme
from ui.pages.page import Context, Page
from ui.presentation.view_model import View
from ui.widgets import Card, button, buttons, text


class DonePage(Page):
    pageRequested = Signal(str)

    def __init__(self, context: Context) -> None:
        super().__init__("donePage", context.formatter.translate("DonePage", "That is all"))
        card = Card()
        self.answer = text("", factor=theme.HEADING, bold=True)
        self.answer.setObjectName("answer")
        self._meaning = text("")
        card.body.addWidget(self.answer)
        card.body.addWidget(self._meaning)
        self.samples = button(self.tr("Add program files"), "addSamplesButton", "primary")
        self.overview = button(self.tr("Go to the overview"), "overviewButton")
        self.samples.clicked.connect(lambda: self.pageRequested.emit("scan"))
        self.overview.clicked.connect(lambda: self.pageRequested.emit("overview"))
        buttons(card.body, self.samples, self.overview, of=self)
        self.body.addWidget(card)
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:  # noqa: ARG002  every page takes both
        self.samples.setVisible(view.contributes)
        if view.contributes:
            self.answer.setText(self.tr("Thank you: this computer contributes now"))
            self._meaning.setText(
                self.tr(
                    "Add program files that you know to be good or bad; AegisAI learns from them in"
                    " the background, within your limits. The icon in the notification area shows"
                    " what happens. One click there, “Stop contributing”, ends it at once."
                )
            )
        else:
            self.answer.setText(self.tr("This computer does not contribute"))
            self._meaning.setText(
                self.tr(
                    "Nothing is read for training and nothing is sent. Scanning still works."
                    " AegisAI asks again after a year at the earliest; under Privacy you can read"
                    " the question whenever you like."
                )
            )
