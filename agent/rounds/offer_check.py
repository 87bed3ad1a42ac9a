"""Decides whether this device takes up a server's offer.

An offer must keep to what was agreed and to this device's own bounds, and be worth training for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.errors import PeerError
from agent.reasons import Reason, ReasonCode
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.outcome import CycleResult, Outcome, already_contributed
from agent.store.ledger import Ledger
from agent.store.samples import Samples

if TYPE_CHECKING:
    from agent.privacy.policy import DeviceLimits
    from agent.protocol.messages import RoundConfig, Task
    from agent.transport.statements import Offer


class OfferCheck:
    """Judges offers. Changes nothing except the price that the budget gate remembers."""

    def __init__(
        self,
        ledger: Ledger,
        samples: Samples,
        limits: "Callable[[], DeviceLimits]",
        budget_gate: BudgetGate,
        agreed_mode: Callable[[], str],
    ) -> None:
        """`agreed_mode`: the mode in the notice that the person agreed to."""
        self._ledger = ledger
        self._samples = samples
        self._limits = limits
        self._budget_gate = budget_gate
        self._agreed_mode = agreed_mode

    def accepted_round(self, offer: "Offer", task: "Task") -> "RoundConfig | None":
        """Return the round on offer; None when none is open for this device now.

        Raises PeerError TASK_CHANGED, TASK_NOT_AGREED, OFFER_INCONSISTENT and ROUND_OLDER, and
        the codes of agent.privacy.policy when the offer breaks what was agreed or a bound of
        this device.
        """
        if offer.task != task:
            raise PeerError(
                "TASK_CHANGED",
                "The server offers a task other than the one this device joined.",
                "Ask for a new invitation.",
            )
        from agent.privacy.policy import check_config, check_task

        check_task(task, self._agreed_mode(), self._limits())
        if offer.round is None:
            return None
        from agent.protocol.messages import Mode

        config = offer.round
        check_config(config, task, self._limits())
        if (config.model_version, config.model_digest) != (offer.model_version, offer.model_digest):
            raise PeerError(
                "OFFER_INCONSISTENT",
                "The server's offer contradicts itself.",
                "Nothing was sent. Tell the operator.",
            )
        if config.round_id < self._ledger.newest_round(config.task_id):
            raise PeerError(
                "ROUND_OLDER",
                "The server offers a round older than one this device has already answered.",
                "Nothing was sent. Tell the operator.",
            )
        if config.mode is Mode.LOCAL and (
            # The server's clock decides what is open: this computer's may be wrong.
            offer.status != "open" or not config.opens_at <= offer.time < config.closes_at
        ):
            return None
        return config

    def refusal(
        self, offer: "Offer", config: "RoundConfig | None", task: "Task"
    ) -> CycleResult | None:
        """Return what ends the cycle before the training, or None.

        No round is open, this device has answered it, the budget gate refuses, or rows are missing.
        Raises UserActionError LEDGER_FORKED when the server has a contribution that the ledger
        lacks.
        """
        from agent.protocol.messages import Mode

        if config is None and task.mode is Mode.LOCAL:
            return CycleResult(Outcome.NO_ROUND, "No round is open now.")
        if config is not None:
            has_contributed = self._ledger.has_taken_part(config.task_id, config.round_id)
            if offer.contributed and not has_contributed:
                raise self._ledger.sealed.mark_forked(offer.time)
            if has_contributed:
                return already_contributed(config.round_id)
        return self._budget_gate.refusal(
            task.task_id, offer.model_version, offer.model_digest, config
        ) or self._too_few_rows(task)

    def _too_few_rows(self, task: "Task") -> CycleResult | None:
        from agent.protocol.messages import TrainingRows

        counts = self._samples.training_counts()
        is_benign_only = task.rows is TrainingRows.BENIGN
        count = counts.benign if is_benign_only else counts.total
        if count >= task.min_rows:
            return None
        kind = "benign rows" if is_benign_only else "rows"
        text = f"Training needs {task.min_rows} {kind}; this device has {count}."
        reason = Reason(ReasonCode.NOTHING_TO_LEARN, text, f"{count} rows", "samples")
        return CycleResult(Outcome.NOTHING_TO_LEARN, text, (reason,))
