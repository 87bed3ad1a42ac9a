"""The finished update between its training and its use: kept, held for a person, discarded.

1. At most one update is kept. It lies encrypted in scratch; its key is in memory only.
2. It may wait, so that a person can discard it before it is sealed.
3. After it was sealed it is deleted unless it may be sealed once more for the same model (P4).
"""

from dataclasses import replace

from agent.clock import Clock
from agent.reasons import Reason, ReasonCode
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.checkpoint import CheckpointStore
from agent.rounds.outcome import CycleResult, Outcome, TrainedUpdate


class UpdateStore:
    """Holds the finished update, if there is one."""

    def __init__(self, clock: Clock, checkpoints: CheckpointStore, budget_gate: BudgetGate) -> None:
        self._clock = clock
        self._checkpoints = checkpoints
        self._budget_gate = budget_gate
        self._discard_when_settled = False
        self.current: TrainedUpdate | None = None

    def keep(self, update: TrainedUpdate) -> None:
        """Hold `update`; its training needs no checkpoint any more."""
        self.current = update
        self._checkpoints.forget()

    def fits(self, model_digest: str) -> bool:
        """Whether a finished update for this model is here."""
        return self.current is not None and self.current.model_digest == model_digest

    def hold_reason(self, hold_s: int) -> Reason | None:
        """Why the finished update waits; None when it may be used or there is none."""
        if not hold_s or self.current is None:
            return None
        until = self.current.at + hold_s
        if until <= self._clock.now():
            return None
        return Reason(
            ReasonCode.HOLD,
            "The finished update waits, so that you can discard it.",
            setting="hold.minutes",
            until=until,
        )

    def restart_hold(self) -> None:
        """Count the wait from now: the clock was set back since the update was finished."""
        if self.current is not None:
            self.current = replace(self.current, at=self._clock.now())

    def discard(self) -> None:
        """Delete the finished update, or what was begun of one."""
        self.current = None
        self._discard_when_settled = False
        self._checkpoints.clear()

    def discard_when_settled(self) -> None:
        """Delete the update once its sealing and sending, already under way, have ended."""
        self._discard_when_settled = True

    def settle(self, result: CycleResult | None) -> None:
        """After a sealing: delete an update that was sent or may not be sealed again.

        `result` is None when an error ended it.
        """
        is_unwanted, self._discard_when_settled = self._discard_when_settled, False
        if self.current is None:
            return
        is_sent = result is not None and result.outcome is Outcome.SENT
        if (
            is_sent
            or is_unwanted
            or not self._budget_gate.allows_another(self.current.model_digest)
        ):
            self.discard()
