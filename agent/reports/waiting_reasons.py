"""Lists every reason why the agent waits, in order of precedence."""

from dataclasses import dataclass

from agent.clock import Clock
from agent.conditions.interface import Conditions
from agent.config.effective import EffectiveConfig
from agent.reasons import Reason, ReasonCode
from agent.reports.budget import BudgetReport
from agent.rounds.cycles import Cycles
from agent.rounds.outcome import Outcome
from agent.rounds.readiness import Readiness
from agent.store.samples import Samples

KEYRING_REASONS = {
    "KEYRING_LOCKED": ReasonCode.KEYRING_LOCKED,
    "KEYRING_ABSENT": ReasonCode.KEYRING_ABSENT,
    "KEYRING_DENIED": ReasonCode.KEYRING_DENIED,
    "KEYRING_TOO_LARGE": ReasonCode.KEYRING_TOO_LARGE,
    "CREDENTIAL_MISSING": ReasonCode.KEYRING_ABSENT,
    "PASSPHRASE_MISSING": ReasonCode.KEYRING_LOCKED,
}
"""The reason to show for an error of the key store."""
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
        error, result, now = self.cycles.error, self.cycles.result, self.clock.now()
        reasons = []
        if error is not None and (code := KEYRING_REASONS.get(error.code)):
            reasons.append(Reason(code, f"{error.message} {error.remedy}"))
        if error is not None and error.code == "OFFLINE":
            reasons.append(Reason(ReasonCode.OFFLINE, error.message))
        if result is not None:
            reasons.extend(
                reason for reason in result.reasons if reason.until is None or reason.until > now
            )
            if result.outcome in (Outcome.NO_ROUND, Outcome.ALREADY_CONTRIBUTED):
                reasons.append(Reason(ReasonCode.NO_ROUND, result.text, until=self.cycles.next_at))
        return tuple(reasons)

    def _samples(self) -> tuple[Reason, ...]:
        if self.samples.counts().total:
            return ()
        return (
            Reason(
                ReasonCode.NOTHING_TO_LEARN, "There are no training rows yet.", "0 rows", "samples"
            ),
        )
