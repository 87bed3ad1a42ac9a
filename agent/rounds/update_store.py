"""Keeps the finished update between its training and its use.

1. At most one update is kept. It lies encrypted in scratch; its key is in memory only.
2. It waits for a while before it is sealed, so that a person can discard it, and until a time that
   tells the server nothing about the training (agent.rounds.ready_slot).
3. After a seal it is deleted, unless its model may be sealed for again, today or later (P4).
"""

from collections.abc import Callable
from dataclasses import replace

from agent.clock import Clock
from agent.reasons import Reason, ReasonCode
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.checkpoint import CheckpointStore
from agent.rounds.outcome import CycleResult, Outcome, TrainedUpdate
from agent.rounds.ready_slot import ready_at


class UpdateStore:
    """Holds the finished update, if there is one."""

    def __init__(
        self,
        clock: Clock,
        checkpoints: CheckpointStore,
        budget_gate: BudgetGate,
        draw: Callable[[], float],
    ) -> None:
        """`draw` returns a float in [0, 1): when in its slot an update is ready."""
        self._clock = clock
        self._draw = draw
        self._drawn = 0.0
        self._checkpoints = checkpoints
        self._budget_gate = budget_gate
        self._discard_when_settled = False
        self.current: TrainedUpdate | None = None

    def keep(self, update: TrainedUpdate) -> None:
        """Keep `update`; its training no longer needs a checkpoint."""
        self.current, self._drawn = update, self._draw()
        self._checkpoints.forget()

    def fits(self, model_version: int, model_digest: str) -> bool:
        """Whether the finished update, if any, was trained on this model.

        The version counts too: it is the verified one, and a server that claims another for the
        same weights would make the model look new (P4).
        """
        return self.current is not None and (
            self.current.model_version,
            self.current.model_digest,
        ) == (model_version, model_digest)

    def hold_reason(self, hold_s: int | None) -> Reason | None:
        """Return why the finished update waits; None when it may be used or there is none.

        `hold_s`: for how long at least; None: it does not wait, because a person said so.
        """
        if hold_s is None or self.current is None:
            return None
        until = ready_at(self.current.begun_at, self.current.at, hold_s, self._drawn)
        if until <= self._clock.now():
            return None
        return Reason(
            ReasonCode.HOLD,
            "The finished update waits, so that you can discard it and its time tells nobody how"
            " long the training took.",
            setting="hold.minutes",
            until=until,
        )

    def restart_hold(self) -> None:
        """Restart the wait: the clock was set back after the update was finished."""
        if self.current is not None:
            now = self._clock.now()
            self.current = replace(self.current, begun_at=now, at=now)

    def discard(self) -> None:
        """Delete the finished update and any training begun for the next."""
        self.current = None
        self._discard_when_settled = False
        self._checkpoints.clear()

    def discard_when_settled(self) -> None:
        """Delete the update once the sealing and sending under way have ended."""
        self._discard_when_settled = True

    def settle(self, result: CycleResult | None) -> None:
        """Delete the update after a sealing if it was sent or may not be sealed again.

        `result` is None when an error ended the submission.
        """
        is_unwanted, self._discard_when_settled = self._discard_when_settled, False
        if self.current is None:
            return
        is_sent = result is not None and result.outcome is Outcome.SENT
        model = (self.current.model_version, self.current.model_digest)
        if is_sent or is_unwanted or not self._budget_gate.allows_another(*model):
            self.discard()
