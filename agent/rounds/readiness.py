"""Decides whether training and sending may go on now.

The person's decisions come first, then the machine's state.
"""

from collections.abc import Callable

from agent.conditions.interface import Conditions
from agent.config.pause import Pause
from agent.consent.gate import Gate
from agent.reasons import Reason, ReasonCode
from agent.sandbox import minimum


class Readiness:
    """Lists the reasons against training and sending, the weightiest first; none means go."""

    def __init__(
        self,
        gate: Gate,
        pause: Pause,
        conditions: Conditions,
        offered: Callable[[], minimum.Offered],
    ) -> None:
        """`offered` is what the system has to confine a worker."""
        self._gate = gate
        self._pause = pause
        self._conditions = conditions
        self._offered = offered

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

    def collecting_reasons(self) -> tuple[Reason, ...]:
        """Return the reasons against opening files that nobody named.

        Whatever collects files by itself asks here first. A file or folder that a person names is
        read without it.
        """
        why = minimum.refusal(self._offered())
        incomplete = (Reason(ReasonCode.SANDBOX_INCOMPLETE, why),) if why else ()
        return (*self.blocking_reasons(), *incomplete)

    def sending_reasons(self) -> tuple[Reason, ...]:
        """Return the reasons against sending."""
        return (*self.blocking_reasons(), *self._conditions.may_send())
