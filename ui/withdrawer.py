"""Withdraws in one click, whether or not an agent answers, as `aegis consent withdraw` does.

1. The mark in the home comes first; then the agent is asked (agent.consent.withdrawal).
2. `stopped` says what holds when no agent runs or none answers. An agent that answers tells it by
   its Status.
"""

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QObject, Qt, QTimer, Signal

from agent.consent.withdrawal import Withdrawal
from agent.errors import AegisError, PeerError
from ui.agent_client import AgentClient

SILENT_MS = 3_000
"""How long an agent may take to answer: the mark already holds."""


class Withdrawer(QObject):
    """Withdraws for one window or icon, which the consent record calls `surface`.

    `now` returns seconds since the epoch.
    """

    stopped = Signal(str)
    """The withdrawal holds without an agent's answer: in words."""
    failed = Signal(object)
    """An AegisError: the agent refused, or nothing could be saved."""

    def __init__(
        self,
        client: AgentClient,
        files: Withdrawal,
        surface: str,
        parent: QObject | None = None,
        now: Callable[[], int] = QDateTime.currentSecsSinceEpoch,
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._files = files
        self._surface = surface
        self._now = now
        self._is_marked = False
        self.patience = QTimer(self, singleShot=True, interval=SILENT_MS)
        self.patience.setTimerType(Qt.TimerType.CoarseTimer)
        self.patience.timeout.connect(self._silent)

    def may_hold(self) -> bool:
        """Whether a yes may hold while no agent says so."""
        return self._files.may_hold()

    def withdraw(self) -> None:
        """Leave the mark, and ask the agent. Never blocks."""
        self._is_marked = self._files.begin(self._surface)
        self.patience.start()
        self._client.call(
            "consent.withdraw",
            {"surface": self._surface},
            lambda _: self.patience.stop(),
            self._failed,
        )

    def _failed(self, error: AegisError) -> None:
        self.patience.stop()
        if error.code == "NO_AGENT":
            self._without_agent()
        else:
            self.failed.emit(error)

    def _silent(self) -> None:
        if not self._is_marked:
            self.failed.emit(_silent_agent())
        elif not self._files.is_read():
            self.stopped.emit(
                self.tr(
                    "You have stopped contributing, also after a restart. AegisAI does not answer:"
                    " it sends nothing more, and stops within a minute of going on."
                )
            )

    def _without_agent(self) -> None:
        if not self._is_marked:
            try:
                self._files.turn_off(self._now(), self._surface)
            except AegisError as error:
                self.failed.emit(error)
                return
        self.stopped.emit(
            self.tr(
                "You have stopped contributing, also after a restart. AegisAI is not running:"
                " nothing is read for training and nothing is sent."
            )
        )


def _silent_agent() -> PeerError:
    return PeerError(
        "AGENT_SILENT",
        "The agent does not respond.",
        "Wait a moment, or end it (aegis quit) and start it again.",
    )
