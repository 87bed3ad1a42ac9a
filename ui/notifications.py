"""Desktop notifications for errors and for what needs the person; success is silent.

At most one a day for each cause, without file names or figures. A question that can wait is shown
once.
"""

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QObject
from PySide6.QtWidgets import QSystemTrayIcon

from agent.reasons import ReasonCode
from agent.status import AgentState, Status
from ui.presentation.view_model import view_of
from ui.tray import Tray

REPEAT_AFTER_S = 24 * 3600
SHOWN_ONCE = frozenset({ReasonCode.MODEL_SPENT.value})
"""Questions that can wait for good: repeating them would nag."""


class Notifier(QObject):
    """Watches the tray's agent and shows notifications at its icon.

    `now` returns seconds since the epoch.
    """

    def __init__(
        self, tray: Tray, now: Callable[[], int] = QDateTime.currentSecsSinceEpoch
    ) -> None:
        super().__init__(tray)
        self._tray = tray
        self._now = now
        self._shown_at: dict[str, int] = {}
        tray.client.statusChanged.connect(self._changed)

    def _changed(self, status: Status | None) -> None:
        if status is None or status.state not in (AgentState.ATTENTION, AgentState.ERROR):
            return
        view = view_of(status, self._tray.formatter)
        cause = status.reasons[0].code.value if status.reasons else status.state.value
        if cause in SHOWN_ONCE and cause in self._shown_at:
            return
        if self._now() - self._shown_at.get(cause, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return
        self._shown_at[cause] = self._now()
        if self._tray.icon is not None:
            self._tray.icon.showMessage(
                "AegisAI", f"{view.headline}. {view.detail}", QSystemTrayIcon.MessageIcon.Warning
            )
