"""Every page and dialog as a person meets it, for screenshots, the accessibility walk and the measurements."""

import os
import tempfile
from pathlib import Path

from PySide6.QtCore import QEvent, QLocale, QSize
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication

from agent.status import AgentState, ConsentState
from tests.fakes import link as fakes
from ui import i18n
from ui.consent_dialog import ConsentDialog
from ui.pages import Context
from ui.theme import Theme
from ui.window import Window

SIZE = QSize(960, 760)


def bytes_file():
    path = Path(tempfile.gettempdir()) / f"aegisai-shot-{os.getpid()}.bin"
    if not path.exists():
        path.write_bytes(bytes((7 * place + place // 3) % 256 for place in range(936)))
    return path


def answers():
    return {
        "consent.show": lambda _: fakes.notice_answer(),
        "ledger": fakes.ledger_answer(),
        "sent.show": fakes.sent_answer(bytes_file()),
        "preview": fakes.preview_answer(bytes_file()),
        "invitation.inspect": {
            "operator": {
                "name": "Northwind Security Institute",
                "contact": "privacy@northwind.example",
                "recipients": "Northwind only.",
                "retention": "Sums for 24 months; receipts for 12 months.",
                "server": "https://aggregator.northwind.example:9443",
            },
            "server": "https://aggregator.northwind.example:9443",
            "ca_sha256": "3f0c7a91d2b84e65" * 4,
        },
        "enroll": {"operator": {}, "server": ""},
        "export": {"file": "aegisai-export.json", "bytes": 48123},
        "erase": {"pending": True, "server_cannot_be_told": False},
    }


def window(app, state, page, theme=None):
    link = fakes.FakeLink(state, answers())
    shown = Window(Context(link, i18n.QtWords(QLocale()), theme or Theme(app), 8))
    shown.link = link
    shown.resize(SIZE)
    shown.open_page(page)
    shown.show()
    return shown


def _join_checked(app, theme):
    shown = window(app, fakes.new_home(), "join", theme)
    page = shown.centralWidget().findChild(object, "joinPage")
    page.invitation.setPlainText("aegis1." + "eJxVjk1uwyAQRu" * 12 + ".1a2b3c4d")
    page.check.click()
    return shown


def _erasing(app, theme):
    shown = window(app, fakes.status(erase_pending=True), "privacy", theme)
    page = shown.centralWidget().findChild(object, "privacyPage")
    page.erase.click()
    settle()
    page.verticalScrollBar().setValue(page.verticalScrollBar().maximum())
    return shown


def _consent(app, theme, *, details=False, example=False):
    theme  # noqa: B018  the theme is the application's
    dialog = ConsentDialog(fakes.notice())
    dialog.show()
    if details:
        dialog.details_button.click()
    if example:
        dialog.show_example(fakes.preview_answer(bytes_file()))
        settle()
        dialog._scroll.ensureWidgetVisible(dialog.example)
    return dialog


SCENES = {
    "overview-new": lambda app, theme: window(app, fakes.new_home(), "overview", theme),
    "overview-waiting": lambda app, theme: window(app, fakes.waiting(), "overview", theme),
    "overview-training": lambda app, theme: window(app, fakes.every_state()[AgentState.TRAINING], "overview", theme),
    "overview-attention": lambda app, theme: window(app, fakes.every_state()[AgentState.ATTENTION], "overview", theme),
    "overview-error": lambda app, theme: window(app, fakes.every_state()[AgentState.ERROR], "overview", theme),
    "overview-no-agent": lambda app, theme: window(app, None, "overview", theme),
    "join": _join_checked,
    "privacy": lambda app, theme: window(app, fakes.status(), "privacy", theme),
    "privacy-withdrawn": lambda app, theme: window(app, fakes.status(AgentState.OFF, ConsentState.WITHDRAWN), "privacy", theme),
    "privacy-erase": _erasing,
    "sent": lambda app, theme: window(app, fakes.status(), "sent", theme),
    "about": lambda app, theme: window(app, fakes.status(), "about", theme),
    "consent": lambda app, theme: _consent(app, theme),
    "consent-details": lambda app, theme: _consent(app, theme, details=True),
    "consent-example": lambda app, theme: _consent(app, theme, details=True, example=True),
}


def settle():
    for _ in range(3):
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        QApplication.processEvents()


def plain_application():
    """The application as screenshots want it: one style, one font, no blinking cursor."""
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedKingdom))
    app = QApplication.instance() or QApplication(["shots"])
    app.setFont(QFont("DejaVu Sans", 10))
    app.setCursorFlashTime(0)
    return app
