"""The privacy budget as every surface shows it."""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.clock import Clock
from agent.config.effective import EffectiveConfig
from agent.errors import AegisError
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.outcome import CycleResult, Outcome
from agent.status import BudgetView
from agent.store.ledger import Charge, Ledger

DAY_S = 24 * 3600


@dataclass(frozen=True)
class BudgetReport:
    """Reads the ledger afresh each time."""

    clock: Clock
    effective: EffectiveConfig
    ledger: Ledger
    gate: BudgetGate

    def view(self) -> BudgetView:
        """Return the budget in ε. A ledger that cannot be read counts as fully spent; what its
        charges would amount to without the protection of the sums is then unknown.
        """
        from agent.privacy.zcdp import epsilon

        budget = self.effective.budget()
        try:
            charges = self.ledger.charges()
        except AegisError:
            return BudgetView(
                epsilon_period=budget.epsilon,
                delta=budget.delta,
                period_days=budget.period_days,
                epsilon_ledger=budget.epsilon,
                epsilon_local=None,
                epsilon_lifetime=budget.lifetime_epsilon,
                epsilon_lifetime_ceiling=budget.lifetime_epsilon,
                epsilon_local_lifetime=None,
            )
        period_s = budget.period_days * DAY_S
        start = self.clock.now() - period_s
        dated = self.gate.in_period_from(charges)
        recent = [charge for at, charge in zip(dated, charges, strict=True) if at > start]
        spent = self.spent()
        is_spent = spent is not None and spent.outcome is Outcome.BUDGET_SPENT
        return BudgetView(
            epsilon_period=budget.epsilon,
            delta=budget.delta,
            period_days=budget.period_days,
            epsilon_ledger=epsilon(_rho_units(recent), budget.delta),
            epsilon_local=epsilon(_rho_local_units(recent), budget.delta),
            epsilon_lifetime=epsilon(_rho_units(charges), budget.delta),
            epsilon_lifetime_ceiling=budget.lifetime_epsilon,
            epsilon_local_lifetime=epsilon(_rho_local_units(charges), budget.delta),
            renews_at=min(at for at in dated if at > start) + period_s if recent else None,
            may_take_part_at=spent.may_take_part_at if spent and is_spent else None,
            charges=len(charges),
            verified=self.ledger.sealed.state().is_verified,
        )

    def spent(self) -> CycleResult | None:
        """Return why another round like the last one offered cannot be paid now, or None.

        The price of that round survives a restart. Raises UserActionError CHAIN_BROKEN.
        """
        task = self.effective.task()
        return None if task is None else self.gate.spent(str(task["task_id"]))

    def ledger_error(self) -> AegisError | None:
        """Return why the ledger cannot be read, or None."""
        try:
            self.ledger.charges()
        except AegisError as error:
            return error
        return None


def _rho_units(charges: Iterable[Charge]) -> int:
    return sum(charge.rho_units for charge in charges)


def _rho_local_units(charges: Iterable[Charge]) -> int:
    return sum(charge.rho_local_units for charge in charges)
