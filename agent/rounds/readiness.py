"""Decides whether training and sending may go on now.

The person's decisions come first, then the machine's state.
"""

from agent.conditions.interface import Conditions
from agent.config.pause import Pause
from agent.consent.gate import Gate
from agent.reasons import Reason, ReasonCode


class Readiness:
    """Lists the reasons against training and sending, the weightiest first; none means go."""

    def __init__(self, gate: Gate, pause: Pause, conditions: Conditions) -> None:
        self._gate = gate
        self._pause = pause
        self._conditions = conditions

    def blocking_reasons(self) -> tuple[Reason, ...]:
        """Return the reasons against both: consent, policy, pause."""
        reasons = []
        if denial := self._gate.denial():
            reasons.append(Reason(denial.code, denial.message))
        paused_until = self._pause.until()
        if paused_until is not None:
            text = "You paused it for a while." if paused_until else "You paused it."
            reasons.append(Reason(ReasonCode.USER_PAUSED, text, until=paused_until or None))
        return tuple(reasons)

    def training_reasons(self) -> tuple[Reason, ...]:
        """Return the reasons against training."""
        return (*self.blocking_reasons(), *self._conditions.may_train())

    def sending_reasons(self) -> tuple[Reason, ...]:
        """Return the reasons against sending."""
        return (*self.blocking_reasons(), *self._conditions.may_send())
