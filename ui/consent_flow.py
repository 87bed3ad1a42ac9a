"""Asks the person for consent and reports the answer to the agent.

1. One question at a time: asking again raises the open dialog and answers nothing.
2. The agent receives exactly what the person saw: the notice's id, the digest of its text and its
   locale.
3. "No" to an open question is a refusal. "No" on a later reading withdraws a consent that was given
   and changes nothing otherwise.
"""

from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from agent.consent.notice import Decision, Notice, OperatorFacts
from agent.consent.withdrawal import Withdrawal
from agent.status import ConsentState
from ui.agent_client import AgentClient
from ui.consent_dialog import ConsentDialog
from ui.i18n import notice_locale
from ui.withdrawer import Withdrawer

SURFACE = "window"
"""How the consent record names decisions made in the window."""


class ConsentFlow(QObject):
    """Every consent call of one window; `parent` is the window that the dialog belongs to."""

    decided = Signal(Decision)
    """The dialog has closed with this decision; the agent is being informed."""
    failed = Signal(object)
    """An AegisError: the notice could not be fetched, or the agent refused the decision."""
    stopped = Signal(str)
    """A withdrawal holds although no agent answered: in words."""

    def __init__(self, client: AgentClient, files: Withdrawal, parent: QWidget) -> None:
        super().__init__(parent)
        self._client = client
        self._withdrawer = Withdrawer(client, files, SURFACE, self)
        self._withdrawer.stopped.connect(self.stopped)
        self._withdrawer.failed.connect(self.failed)
        self._window = parent
        self._dialog: ConsentDialog | None = None

    @property
    def dialog(self) -> ConsentDialog | None:
        """The dialog while it is open."""
        return self._dialog

    def ask(self) -> None:
        """Fetch the current notice and open the dialog, or raise the one that is open."""
        if self._dialog is not None:
            self._dialog.raise_()
            self._dialog.activateWindow()
            return
        self._client.call("consent.show", {"locale": notice_locale()}, self._show, self.failed.emit)

    def withdraw(self) -> None:
        self._withdrawer.withdraw()

    def close(self) -> None:
        """Close an open dialog without an answer."""
        if self._dialog is not None:
            self._dialog.close()

    def _show(self, answer: dict[str, Any]) -> None:
        notice = notice_of(answer)
        dialog = self._dialog = ConsentDialog(notice, self._window)
        dialog.decided.connect(lambda decision: self._decided(notice, decision))
        dialog.exampleRequested.connect(
            lambda: self._client.call(
                "preview",
                {},
                dialog.show_example,
                lambda error: dialog.show_example_failed(str(error)),
            )
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.show()

    def _decided(self, notice: Notice, decision: Decision) -> None:
        self._dialog = None
        self.decided.emit(decision)
        evidence = {
            "notice_id": notice.notice_id,
            "text_sha256": notice.text_sha256,
            "surface": SURFACE,
            "locale": notice.locale,
        }
        match decision:
            case Decision.GRANT:
                self._client.call("consent.grant", evidence, None, self.failed.emit)
            case Decision.REFUSE:
                self._refuse(evidence)
            case Decision.DISMISSED:
                # Closing the dialog must not end in an error message: the agent only notes it.
                self._client.call(
                    "consent.dismiss",
                    {"notice_id": notice.notice_id, "surface": SURFACE},
                    None,
                    lambda _: None,
                )

    def _refuse(self, evidence: dict[str, str]) -> None:
        status = self._client.status
        state = status.consent.state if status is not None else None
        if state in (ConsentState.UNASKED, ConsentState.STALE):
            self._client.call("consent.refuse", evidence, None, self.failed.emit)
        elif state is ConsentState.GRANTED:
            self.withdraw()


def notice_of(answer: dict[str, Any]) -> Notice:
    """Read the notice from the agent's answer to `consent.show`."""
    values = {key: value for key, value in answer.items() if key != "state"}
    operator = values.pop("operator")
    return Notice(
        **{
            **values,
            "first_layer": tuple(values["first_layer"]),
            "details": tuple((heading, body) for heading, body in values["details"]),
            "operator": None if operator is None else OperatorFacts(**operator),
        }
    )
