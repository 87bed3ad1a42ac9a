"""The icon in the notification area and its menu.

It stays in memory all day, so it loads no pages; it decides nothing and uses no network.

1. Every action has a name: `pause resume runOnce consent sent settings scan open quit`.
2. Withdrawing takes one click; granting takes two, the menu's and the dialog's (C10).
3. `tray_host.py` notices a notification area that appears late; nothing is polled.
"""

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QDateTime, QObject, Signal
from PySide6.QtGui import QAction, QGuiApplication, QIcon
from PySide6.QtWidgets import QApplication, QMenu, QSystemTrayIcon

from agent.consent.withdrawal import Withdrawal
from agent.errors import AegisError
from agent.status import AgentState, Status
from ui.agent_client import AgentClient
from ui.i18n import QtFormatter
from ui.icons import state_icon
from ui.presentation.locale_formatter import LocaleFormatter
from ui.presentation.view_model import View, view_of
from ui.theme import DARK, LIGHT
from ui.withdrawer import Withdrawer

SURFACE = "tray"
MENU_LINE_LETTERS = 60
"""Longer lines make the whole menu wide."""


class Tray(QObject):
    """Shows the agent's Status and sends the menu's actions to the agent.

    Windows and the end of the process are requested by signals.
    """

    windowRequested = Signal(str)
    quitRequested = Signal()

    def __init__(
        self,
        client: AgentClient,
        files: Withdrawal,
        *,
        formatter: LocaleFormatter | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._formatter = formatter or QtFormatter.of_system()
        self._withdrawer = Withdrawer(client, files, SURFACE, self)
        self._withdrawer.stopped.connect(self._withdrawn)
        self._withdrawer.failed.connect(self._not_withdrawn)
        self._state: AgentState | None = None
        self.icon: QSystemTrayIcon | None = None
        self.menu = QMenu()
        self._build()
        client.statusChanged.connect(self.show_status)
        client.connectedChanged.connect(
            lambda connected: None if connected else self.show_status(None)
        )
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._repaint)
        self.show_status(client.status)

    @property
    def client(self) -> AgentClient:
        return self._client

    @property
    def formatter(self) -> LocaleFormatter:
        return self._formatter

    @property
    def view(self) -> View:
        return self._view

    def show_icon(self) -> None:
        """Make the icon, or make it anew: a host that starts later ignores an older icon."""
        self.hide_icon()
        self.icon = QSystemTrayIcon(self.current_icon(), self)
        self.icon.setContextMenu(self.menu)
        self.icon.setToolTip(self._view.tooltip)
        self.icon.activated.connect(self._activated)
        self.icon.show()

    def hide_icon(self) -> None:
        if self.icon is not None:
            self.icon.hide()
            self.icon.deleteLater()
            self.icon = None

    def current_icon(self) -> QIcon:
        return state_icon(self._view.state, DARK if _is_dark() else LIGHT)

    def show_status(self, status: Status | None) -> None:
        """Update icon, tooltip and menu; None stands for an agent that does not run."""
        may_contribute = status is None and self._withdrawer.may_hold()
        self._view = view = view_of(status, self._formatter, may_contribute=may_contribute)
        menu = view.menu
        self.first_line.setText(_shortened(menu.first_line))
        self.actions["pause"].setEnabled(menu.can_pause)
        self.actions["resume"].setEnabled(menu.can_resume)
        self.actions["resume"].setVisible(menu.can_resume)
        self.actions["runOnce"].setEnabled(menu.can_run_once)
        self.actions["consent"].setText(menu.consent_text)
        self.actions["consent"].setEnabled(menu.can_decide)
        if self.icon is not None:
            self.icon.setToolTip(view.tooltip)
            if view.state is not self._state:
                self.icon.setIcon(self.current_icon())
        self._state = view.state

    def _build(self) -> None:
        self.first_line = QAction(self)
        self.first_line.setObjectName("firstLine")
        self.first_line.setEnabled(False)
        self.actions = {
            "pause": self._action("pause", self.tr("Pause"), self._pause),
            "resume": self._action("resume", self.tr("Resume"), self._resume),
            "runOnce": self._action("runOnce", self.tr("Train once now"), self._run_once),
            "consent": self._action("consent", "", self._consent),
            "sent": self._window("sent", self.tr("What was sent"), "sent"),
            "settings": self._window("settings", self.tr("Privacy settings"), "privacy"),
            "scan": self._window("scan", self.tr("Scan a file…"), "scan"),
            "open": self._window("open", self.tr("Open AegisAI"), "overview"),
            "quit": self._action("quit", self.tr("Quit"), self.quitRequested.emit),
        }
        pauses = self._pauses = QMenu()
        for name, label, seconds in (
            ("pause15", self.tr("For 15 minutes"), 15 * 60),
            ("pause60", self.tr("For 1 hour"), 3600),
            ("pauseTomorrow", self.tr("Until tomorrow"), -1),
            ("pauseOpen", self.tr("Until I resume"), 0),
        ):
            pauses.addAction(self._action(name, label, partial(self._pause, seconds)))
        self.actions["pause"].setMenu(pauses)
        groups = (
            ("open",),
            ("pause", "resume", "runOnce"),
            ("consent",),
            ("sent", "settings", "scan"),
            ("quit",),
        )
        self.menu.addAction(self.first_line)
        for group in groups:
            self.menu.addSeparator()
            for name in group:
                self.menu.addAction(self.actions[name])

    def _action(self, name: str, label: str, slot: Callable[[], object]) -> QAction:
        action = QAction(label, self)
        action.setObjectName(name)
        action.triggered.connect(lambda *_: slot())
        return action

    def _window(self, name: str, label: str, page: str) -> QAction:
        return self._action(name, label, lambda: self.windowRequested.emit(page))

    def _pause(self, seconds: int = 0) -> None:
        """0 pauses until resumed, -1 until midnight, local time."""
        if seconds < 0:
            tomorrow = QDateTime.currentDateTime().date().addDays(1).startOfDay()
            self._client.call("pause", {"until": tomorrow.toSecsSinceEpoch()})
        else:
            self._client.call("pause", {"seconds": seconds} if seconds else {})

    def _resume(self) -> None:
        self._client.call("resume")

    def _run_once(self) -> None:
        self._client.call("run_now")

    def _consent(self) -> None:
        if self._view.menu.contributes:
            self._withdrawer.withdraw()
        else:
            self.windowRequested.emit("consent")

    def _withdrawn(self, words: str) -> None:
        self.show_status(self._client.status)
        self._tell(words, QSystemTrayIcon.MessageIcon.Information)

    def _not_withdrawn(self, error: AegisError) -> None:
        self._tell(str(error), QSystemTrayIcon.MessageIcon.Warning)

    def _tell(self, words: str, kind: QSystemTrayIcon.MessageIcon) -> None:
        if self.icon is not None:
            self.icon.showMessage("AegisAI", words, kind)

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason in (
            QSystemTrayIcon.ActivationReason.Trigger,
            QSystemTrayIcon.ActivationReason.DoubleClick,
        ):
            self.windowRequested.emit("overview")

    def _repaint(self) -> None:
        if self.icon is not None:
            self.icon.setIcon(self.current_icon())


def _is_dark() -> bool:
    app = QApplication.instance()
    palette = app.palette() if isinstance(app, QApplication) else QGuiApplication.palette()
    return palette.window().color().lightness() < 128


def _shortened(line: str) -> str:
    return line if len(line) <= MENU_LINE_LETTERS else line[: MENU_LINE_LETTERS - 1] + "…"
