"""Lists every reason why the agent waits, in order of precedence."""

from dataclasses import dataclass, replace

from agent.clock import Clock
from agent.conditions.interface import Conditions
from agent.config.effective import EffectiveConfig
from agent.reasons import Reason, ReasonCode
from agent.reports.budget import BudgetReport
from agent.rounds.cycles import Cycles
from agent.rounds.readiness import Readiness
from agent.store.samples import Samples

_PRECEDENCE = {code: place for place, code in enumerate(ReasonCode)}


@dataclass(frozen=True)
class WaitingReasons:
    """Collects the reasons from the store and the last cycle; uses neither keyring nor network."""

    clock: Clock
    effective: EffectiveConfig
    readiness: Readiness
    conditions: Conditions
    cycles: Cycles
    samples: Samples
    budget: BudgetReport

    def list(self) -> tuple[Reason, ...]:
        """Return one reason for each code, the headline first."""
        reasons = (
            *self.readiness.blocking_reasons(),
            *self._enrolment(),
            *self._budget(),
            *self._last_cycle(),
            *self.conditions.may_train(),
            *self.conditions.may_send(),
            *self._samples(),
        )
        # Where two parts give the same code, the first one counts.
        unique = {reason.code: reason for reason in reversed(reasons)}
        return tuple(sorted(unique.values(), key=lambda reason: _PRECEDENCE[reason.code]))

    def _enrolment(self) -> tuple[Reason, ...]:
        if self.effective.enrolment() is not None:
            return ()
        return (Reason(ReasonCode.NOT_ENROLLED, "You have not joined an operator yet."),)

    def _budget(self) -> tuple[Reason, ...]:
        if error := self.budget.ledger_error():
            is_forked = error.code == "LEDGER_FORKED"
            code = ReasonCode.LEDGER_FORKED if is_forked else ReasonCode.BUDGET_SPENT
            return (Reason(code, f"{error.message} {error.remedy}"),)
        spent = self.budget.spent()
        return () if spent is None else spent.reasons

    def _last_cycle(self) -> tuple[Reason, ...]:
        now = self.clock.now()
        return tuple(
            replace(reason, until=self.cycles.next_at)
            if reason.code is ReasonCode.NO_ROUND and reason.until is None
            else reason
            for reason in self.cycles.reasons()
            if reason.until is None or reason.until > now
        )

    def _samples(self) -> tuple[Reason, ...]:
        if self.samples.counts().total:
            return ()
        return (
            Reason(
                ReasonCode.NOTHING_TO_LEARN, "There are no training rows yet.", "0 rows", "samples"
            ),
        )
