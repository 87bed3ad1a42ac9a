"""Refuses a round that the privacy budget (P5) or this device's own caps (P4) cannot pay for.

The device asks before training, before joining and before the charge. A server cannot loosen the
caps, and one that lies about rounds and models cannot spend the budget faster than they allow.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.config.effective import EffectiveConfig
from agent.reasons import Reason, ReasonCode
from agent.rounds.outcome import CycleResult, Outcome, capped
from agent.store.ledger import Charge, Ledger
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig

DAY_S = 24 * 3600
MAX_CHARGES_PER_MODEL = 2
"""The first seal and one more for the same base model."""
MAX_CHARGES_PER_DAY = 48
"""A server offers a round every 30 minutes."""
PRICE = "round_price"
"""Key in the store: task and price of the last round offered."""


class BudgetGate:
    """Decides from the ledger and the settings, which it reads afresh each time."""

    def __init__(
        self, clock: Clock, effective: EffectiveConfig, ledger: Ledger, values: Values
    ) -> None:
        self._clock = clock
        self._effective = effective
        self._ledger = ledger
        self._values = values

    def refusal(
        self, task_id: str, model_digest: str, config: "RoundConfig | None"
    ) -> CycleResult | None:
        """Return why this device may not pay for a round on this model, or None.

        `config` is None while no round is announced; the price is then assumed to be that of the
        last round offered in this task.
        """
        from agent.privacy.zcdp import rho_units

        charges = self._ledger.charges()
        if config is None:
            return self._over_budget(
                charges, self._last_price(charges, task_id)
            ) or self._over_caps(charges, model_digest)
        price = rho_units(config)
        self._note_price(task_id, price)
        refused = self._over_budget(charges, price) or self._over_caps(charges, model_digest)
        return None if refused is None else replace(refused, round_id=config.round_id)

    def spent(self, task_id: str) -> CycleResult | None:
        """Return why the budget cannot pay for another round like this task's last one, or None.

        Raises UserActionError CHAIN_BROKEN.
        """
        charges = self._ledger.charges()
        return self._over_budget(charges, self._last_price(charges, task_id))

    def allows_another(self, model_digest: str) -> bool:
        """Whether an update of this model may be sealed once more."""
        return _charges_for(self._ledger.charges(), model_digest) < MAX_CHARGES_PER_MODEL

    def _note_price(self, task_id: str, price: int) -> None:
        noted = {"task_id": task_id, "rho_units": price}
        if self._values.get(PRICE) != noted:
            self._values.put(PRICE, noted)

    def _last_price(self, charges: list[Charge], task_id: str) -> int:
        noted = self._values.get(PRICE, {"task_id": str, "rho_units": int})
        if noted and noted["task_id"] == task_id:
            return int(noted["rho_units"])
        return next(
            (charge.rho_units for charge in reversed(charges) if charge.task_id == task_id), 1
        )

    def _over_budget(self, charges: list[Charge], price: int) -> CycleResult | None:
        from agent.privacy.budget import Refused, decide

        history = [(charge.at, charge.rho_units) for charge in charges]
        decision = decide(self._effective.budget(), history, self._clock.now(), price)
        if not isinstance(decision, Refused):
            return None
        text = "The privacy budget is used up."
        reason = Reason(ReasonCode.BUDGET_SPENT, text, until=decision.may_take_part_at)
        return CycleResult(
            Outcome.BUDGET_SPENT, text, (reason,), may_take_part_at=decision.may_take_part_at
        )

    def _over_caps(self, charges: list[Charge], model_digest: str) -> CycleResult | None:
        now = self._clock.now()
        if _charges_for(charges, model_digest) >= MAX_CHARGES_PER_MODEL:
            return capped("This device has sent the most it may for this model.", None)
        recent = [charge.at for charge in charges if charge.at > now - DAY_S]
        if len(recent) >= MAX_CHARGES_PER_DAY:
            return capped(
                "This device has taken part in the most rounds it may in a day.",
                min(recent) + DAY_S,
            )
        if self._ledger.bytes_since(now - DAY_S) >= self._effective.settings().integer(
            "network.bytes_per_day"
        ):
            return capped("Today's upload limit is reached.", None, "network.bytes_per_day")
        return None


def _charges_for(charges: list[Charge], model_digest: str) -> int:
    return sum(charge.model_digest == model_digest for charge in charges)
