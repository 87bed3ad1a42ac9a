"""Every page and dialog with example data, for screenshots, measurements and the tests of pages."""

import os
import tempfile
from pathlib import Path

from PySide6.QtCore import QEvent, QLocale, QSize
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication, QLabel

from agent.status import AgentState, ConsentState
from tests.fakes import agent_client as fakes
from ui import i18n
from ui.consent_dialog import ConsentDialog
from ui.pages.page import Context, Page
from ui.theme import Theme
from ui.window import Window

SIZE = QSize(960, 760)


def bytes_file():
    path = Path(tempfile.gettempdir()) / f"aegisai-shot-{os.getpid()}.bin"
    if not path.exists():
        path.write_bytes(bytes((7 * place + place // 3) % 256 for place in range(936)))
    return path


def scan_answer(**changes):
    reasons = [
        {"fields": ["CheckSum"], "text": "has no checksum", "weight": 1.8},
        {"fields": ["MajorLinkerVersion"], "text": "linker version 6.0", "weight": 1.1},
        {
            "fields": ["DllCharacteristics"],
            "text": "protections off: ASLR (random addresses), DEP (data is never run)",
            "weight": 0.7,
        },
    ]
    lowers = [{"fields": ["CheckSum"], "text": "has a checksum", "weight": -1.8}]

    def file(path, verdict, probability, reasons=(), code="", message=""):
        return {
            "path": path,
            "verdict": verdict,
            "probability": probability,
            "code": code,
            "message": message,
            "reasons": list(reasons),
            "provenance": "",
        }

    return {
        "results": [
            file("setup.exe", "benign", 0.031, lowers),
            file("invoice.exe", "malicious", 0.982, reasons),
            file("tool.exe", "unsure", 0.61, reasons[1:]),
            file("notes.txt", "not_pe", None, (), "NOT_PE", "Not a Windows program."),
        ],
        "counts": {"benign": 1, "malicious": 1, "unsure": 1, "not_pe": 1, "error": 0},
        "model_version": 12,
        "demonstration": False,
        "model_age_days": 3,
        "model_too_old": False,
        "benign_below": 0.5,
        "malicious_from": 0.8,
        "false_positive_rate": 0.01,
        **changes,
    }


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
        "settings.get": settings_answer(),
        "sources.show": fakes.sources_answer("clamav"),
        "doctor": {
            "checks": [
                {"name": "keyring", "ok": True, "value": "SecretService", "remedy": ""},
                {
                    "name": "idle time",
                    "ok": None,
                    "value": "no source",
                    "remedy": "Training waits while idle time is unknown.",
                },
                {
                    "name": "network",
                    "ok": False,
                    "value": "offline",
                    "remedy": "Check the network.",
                },
            ]
        },
        "scan": scan_answer(),
        "samples.add": {
            "added": 3,
            "known": 1,
            "refused": [{"path": "x.exe", "code": "NOT_PE", "message": "Not a Windows program."}],
        },
        "export": {"file": "aegisai-export.json", "bytes": 48123},
        "erase": {"pending": True, "registered": True, "server_cannot_be_told": False},
    }


def settings_answer():
    """Every setting with its default, but for a managed one and one that the person has chosen."""
    from agent.config.definitions import DEFINITIONS
    from agent.config.settings import SettingEntry

    entries = [SettingEntry(each, each.default, "default").to_json() for each in DEFINITIONS]
    for entry in entries:
        if entry["key"] == "cpu.share_idle":
            entry.update(value=25, origin="policy", bound=25)
        if entry["key"] == "battery.rule":
            entry.update(value="above", origin="you")
    return {"settings": entries}


def open_window(app, status, page, theme=None, *, last_cycle=None, withdrawal=None):
    """A window on one page, with a fake agent that reports `status` and answers every question.

    `last_cycle`: what the home remembers. `withdrawal`: the home's, else one without effect.
    """
    client = fakes.FakeAgentClient(status, answers())
    shown = Window(
        Context(
            client,
            i18n.QtFormatter(QLocale()),
            theme or Theme(app),
            8,
            withdrawal or fakes.no_consent_files(),
            lambda: fakes.NOW,
            lambda: last_cycle,
        )
    )
    shown.client = client
    shown.resize(SIZE)
    shown.open_page(page)
    shown.show()
    return shown


def _join_checked(app, theme):
    shown = open_window(app, fakes.new_home(), "join", theme)
    page = shown.centralWidget().findChild(object, "joinPage")
    page.invitation.setPlainText("aegis1." + "eJxVjk1uwyAQRu" * 12 + ".1a2b3c4d")
    page.check.click()
    return shown


def _erasing(app, theme):
    shown = open_window(app, fakes.status(erase_pending=True), "privacy", theme)
    page = shown.centralWidget().findChild(object, "privacyPage")
    page.erase.click()
    settle()
    page.verticalScrollBar().setValue(page.verticalScrollBar().maximum())
    return shown


def _scanned(app, theme):
    shown = open_window(app, fakes.status(), "scan", theme)
    page = shown.centralWidget().findChild(object, "scanPage")
    page.scan(["setup.exe"])
    page.add(["a.exe"], "benign")
    return shown


def _activity(app, theme):
    shown = open_window(app, fakes.waiting(), "activity", theme)
    shown.centralWidget().findChild(object, "activityPage").check.click()
    return shown


def _consent(app, theme, *, details=False, example=False):
    del theme  # the application's palette and style sheet carry it
    dialog = ConsentDialog(fakes.notice())
    dialog.show()
    if details:
        dialog.details_button.click()
    if example:
        dialog.exampleRequested.connect(
            lambda: dialog.show_example(fakes.preview_answer(bytes_file()))
        )
        dialog.example_button.click()
    return dialog


EXAMPLES = {
    "overview-new": lambda app, theme: open_window(app, fakes.new_home(), "overview", theme),
    "overview-waiting": lambda app, theme: open_window(app, fakes.waiting(), "overview", theme),
    "overview-training": lambda app, theme: open_window(
        app, fakes.every_state()[AgentState.TRAINING], "overview", theme
    ),
    "overview-attention": lambda app, theme: open_window(
        app, fakes.every_state()[AgentState.ATTENTION], "overview", theme
    ),
    "overview-error": lambda app, theme: open_window(
        app, fakes.every_state()[AgentState.ERROR], "overview", theme
    ),
    "overview-no-agent": lambda app, theme: open_window(app, None, "overview", theme),
    "join": _join_checked,
    "done": lambda app, theme: open_window(app, fakes.status(), "done", theme),
    "done-refused": lambda app, theme: open_window(
        app, fakes.status(AgentState.OFF, ConsentState.REFUSED), "done", theme
    ),
    "privacy": lambda app, theme: open_window(app, fakes.status(), "privacy", theme),
    "privacy-withdrawn": lambda app, theme: open_window(
        app, fakes.status(AgentState.OFF, ConsentState.WITHDRAWN), "privacy", theme
    ),
    "privacy-erase": _erasing,
    "sent": lambda app, theme: open_window(app, fakes.status(), "sent", theme),
    "limits": lambda app, theme: open_window(app, fakes.status(), "limits", theme),
    "activity": _activity,
    "scan": _scanned,
    "about": lambda app, theme: open_window(app, fakes.status(), "about", theme),
    "consent": lambda app, theme: _consent(app, theme),
    "consent-details": lambda app, theme: _consent(app, theme, details=True),
    "consent-example": lambda app, theme: _consent(app, theme, example=True),
}


def settle():
    """Let Qt lay out and paint what was just shown."""
    for _ in range(3):
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        QApplication.processEvents()


def clear():
    """Close and delete every window now: one that waited for an event loop would be restyled with
    each change of theme.
    """
    for widget in QApplication.topLevelWidgets():
        widget.close()
        widget.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def plain_application():
    """The application with a fixed locale and font and without a blinking cursor."""
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedKingdom))
    app = QApplication.instance() or QApplication(["shots"])
    app.setFont(QFont("DejaVu Sans", 10))
    app.setCursorFlashTime(0)
    return app


def page(window, name):
    """A page of the window by its object's name, such as "sentPage"."""
    return window.findChild(Page, name)


def texts(widget):
    """The texts that a person sees in a widget."""
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]


def params(window, method):
    """The parameters of every call of a method that the window has made."""
    return [each for called, each in window.client.calls if called == method]
