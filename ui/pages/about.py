"""The About page says what this program is and what the organisation can and cannot see.

Its text is fixed, so it works offline and without an agent.
"""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from agent import __version__
from agent.status import Status
from ui import theme
from ui.icons import picture
from ui.pages.page import Context, Page
from ui.presentation.view_model import View
from ui.widgets import Card, row, step, text


class AboutPage(Page):
    def __init__(self, context: Context) -> None:
        super().__init__("aboutPage", context.formatter.translate("AboutPage", "About AegisAI"))
        self._context = context
        self._add_program()
        self._add_list(
            self.tr("What IT and the operator can see"),
            (
                self.tr("That this device takes part, and when, under a random device number."),
                self.tr(
                    "Sums over many devices' updates; in local mode, this device's update with all"
                    " its noise."
                ),
                self.tr(
                    "The network address that the device connects from, as with every connection."
                ),
                self.tr(
                    "That AegisAI is installed here, its version, and the limits that a policy"
                    " sets."
                ),
            ),
        )
        self._add_list(
            self.tr("What they cannot see"),
            (
                self.tr("Your files, their names, folders or contents."),
                self.tr(
                    "The figures that are read from your files, and the labels that you gave them."
                ),
                self.tr("What you scanned, and the results."),
                self.tr("Your name, your account or this computer's name."),
            ),
        )
        self._add_list(
            self.tr("What nobody can do"),
            (
                self.tr("Say yes for you. A policy can forbid and tighten, never agree."),
                self.tr("Spend more than the privacy budget that you agreed to."),
                self.tr("Keep it running after you stop: withdrawing works at once, also offline."),
            ),
        )
        self._add_honest()
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:
        """Nothing here depends on the Status."""

    def _add_program(self) -> None:
        line = row(of=self, gap=4)
        logo = QLabel()
        logo.setPixmap(picture("aegisai", "", 14 * step(self), 2.0))
        logo.setAccessibleName("AegisAI")
        logo.setAlignment(Qt.AlignmentFlag.AlignTop)
        line.addWidget(logo)
        description = text(
            self.tr(
                "Version {version}. Helps to improve a malware detector from this computer without"
                " giving files away. Free software under the Apache License 2.0."
            ).format(version=__version__)
        )
        line.addWidget(description, 1)
        self.body.addLayout(line)

    def _add_list(self, title: str, lines: tuple[str, ...]) -> None:
        card = Card(title)
        for sentence in lines:
            line = row(of=self, gap=2)
            mark = text("•", tone="muted")
            mark.setFixedWidth(3 * step(self))
            mark.setAlignment(Qt.AlignmentFlag.AlignTop)
            line.addWidget(mark)
            line.addWidget(text(sentence), 1)
            card.body.addLayout(line)
        self.body.addWidget(card)

    def _add_honest(self) -> None:
        card = Card(self.tr("What to know even so"))
        card.body.addWidget(
            text(
                self.tr(
                    "Taking part is itself visible to the server. Noise limits what shows"
                    " whether an update went in, by the ε shown under Overview; it does not make"
                    " that zero, and between two sets of files the limit is wider."
                    " Keys are kept by your login's keyring, in software. The bundled model is a"
                    " demonstration and no protection against malware."
                )
            )
        )
        card.body.addWidget(
            text(
                self.tr("“aegis doctor” in a terminal says what works on this machine."),
                factor=theme.SMALL,
                tone="muted",
            )
        )
        self.body.addWidget(card)
