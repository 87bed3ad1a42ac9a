"""Notifications: errors and needs only, at most one for each cause a day, without file names or
figures.
"""

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QObject
from PySide6.QtWidgets import QSystemTrayIcon

from agent.status import AgentState, Status
from ui.presentation.view_model import DAY_S, view_of
from ui.tray import Tray


def now() -> int:
    return QDateTime.currentSecsSinceEpoch()


class Notifier(QObject):
    """Watches the tray's link. Success is silent."""

    def __init__(self, tray: Tray, clock: Callable[[], int] = now) -> None:
        super().__init__(tray)
        self._tray = tray
        self._clock = clock
        self._told: dict[str, int] = {}
        tray.client.statusChanged.connect(self._changed)

    def _changed(self, status: Status | None) -> None:
        if status is None or status.state not in (AgentState.ATTENTION, AgentState.ERROR):
            return
        view = view_of(status, self._tray.words)
        cause = status.reasons[0].code.value if status.reasons else status.state.value
        if self._clock() - self._told.get(cause, -DAY_S) < DAY_S:
            return
        self._told[cause] = self._clock()
        if self._tray.icon is not None:
            self._tray.icon.showMessage(
                "AegisAI", f"{view.headline}. {view.detail}", QSystemTrayIcon.MessageIcon.Warning
            )
