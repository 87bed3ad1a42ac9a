"""Builds the Status that every surface shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.conditions.interface import Conditions
from agent.config.device_limits import in_words, spending_in_words
from agent.config.effective import EffectiveConfig
from agent.config.pause import Pause
from agent.config.sample_sources import SampleSources
from agent.consent.gate import Gate
from agent.enrolment.scanning_models import ScanningModels
from agent.paths import Home
from agent.protocol.sources import Source
from agent.reasons import Reason, ReasonCode
from agent.reports.budget import BudgetReport
from agent.reports.policy import policy_view
from agent.reports.waiting_reasons import WaitingReasons
from agent.reports.work import WorkReport
from agent.rounds.activity import ActivityTracker
from agent.rounds.cycle_reasons import KEYRING_REASONS
from agent.rounds.cycles import Cycles
from agent.rounds.readiness import Readiness
from agent.sandbox.minimum import refusal
from agent.status import (
    AgentState,
    ConsentState,
    ConsentView,
    OperatorView,
    SentView,
    SourceView,
    Status,
)
from agent.store.ledger import Ledger
from agent.store.samples import Samples

if TYPE_CHECKING:
    from agent.privacy.policy import DeviceLimits
    from agent.sandbox.minimum import Offered

_ATTENTION = {
    *KEYRING_REASONS.values(),
    ReasonCode.NOT_ENROLLED,
    ReasonCode.MODEL_SPENT,
    ReasonCode.LEDGER_FORKED,
}
_TRANSIENT = ("SERVER_BUSY",)
"""Errors that end by themselves: the agent waits, and its state is not an error."""


@dataclass(frozen=True)
class StatusBuilder:
    """Builds it from the store and the running parts; uses neither keyring nor network."""

    home: Home
    effective: EffectiveConfig
    gate: Gate
    pause: Pause
    readiness: Readiness
    conditions: Conditions
    samples: Samples
    sources: SampleSources
    ledger: Ledger
    scanning_models: ScanningModels
    activity: ActivityTracker
    cycles: Cycles
    limits: "Callable[[], DeviceLimits]"
    offered: "Callable[[], Offered]"
    budget: BudgetReport
    waiting: WaitingReasons
    work: WorkReport

    def build(self) -> Status:
        """Return the Status as it is now."""
        reasons, activity = self.waiting.list(), self.activity.current
        counts, totals = self.samples.counts(), self.ledger.totals()
        consent, operator, enrolled = self._consent(), None, False
        if (enrolment := self.effective.enrolment()) is not None:
            asks, enrolled = enrolment.operator, enrolment.is_registered
            operator = OperatorView(asks.name, asks.contact, enrolment.server)
        return Status(
            state=self._state(consent.state, reasons),
            consent=consent,
            budget=self.budget.view(),
            model=self.scanning_models.described(),
            enrolled=enrolled,
            reasons=reasons,
            operator=operator,
            paused_until=self.pause.until(),
            activity=activity.text,
            progress=activity.progress,
            next_at=self.cycles.next_at,
            samples_benign=counts.benign,
            samples_malicious=counts.malicious,
            sources=self._sources(),
            sent=SentView(totals.sent, totals.bytes_up, totals.last_at),
            may_train=not self.readiness.training_reasons(),
            may_send=not self.readiness.sending_reasons(),
            work=self.work.view(),
            last_stop=self.work.last_stop(),
            erase_pending=self.home.erase_request.exists(),
            policy=policy_view(self.effective),
            demo=self.home.is_demo,
            group_floor=in_words(self.limits()),
            readings=self.conditions.readings(),
            notes=self._notes(),
        )

    def _sources(self) -> tuple[SourceView, ...]:
        rows, is_on = self.samples.counts_by_source(), self.sources.switched_on()
        names = [one for one in Source if one in is_on or rows.get(one)]
        return tuple(SourceView(one, rows.get(one, 0), one in is_on) for one in names)

    def _consent(self) -> ConsentView:
        consent_status = self.gate.consent_status()
        decision = consent_status.entry
        return ConsentView(
            consent_status.state,
            self.effective.notice_id(),
            decision.notice_id if decision else None,
            decision.at if decision else None,
            consent_status.refresh_at,
        )

    def _state(self, consent: ConsentState, reasons: tuple[Reason, ...]) -> AgentState:
        codes = {reason.code for reason in reasons}
        if consent is ConsentState.STALE:
            return AgentState.ATTENTION
        if codes & {ReasonCode.NO_CONSENT, ReasonCode.DENIED_BY_POLICY}:
            return AgentState.OFF
        if self.activity.current.kind and not self.activity.is_suspended:
            return AgentState(self.activity.current.kind)
        if ReasonCode.USER_PAUSED in codes:
            return AgentState.PAUSED
        if codes & _ATTENTION:
            return AgentState.ATTENTION
        failed = [reason for reason in reasons if reason.code is ReasonCode.CYCLE_FAILED]
        is_fault = any(reason.reading not in _TRANSIENT for reason in failed)
        return AgentState.ERROR if is_fault else AgentState.WAITING

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if obstacle := self.home.obstacle():
            notes.append(f"AegisAI cannot keep anything in its folder: {obstacle}.")
        if self.home.is_demo:
            in_memory = self.effective.settings().text("key_store") == "os"
            notes.append(
                "This home was made by the demo"
                + ("; its keys are in memory only." if in_memory else ".")
            )
        if limits := in_words(self.limits()):
            notes.append(
                "This device accepts weaker bounds on groups than the product does, for a"
                f" demonstration or a test ({limits})."
            )
        if why := refusal(self.offered()):
            notes.append(why)
        if spends_fast := spending_in_words(self.limits()):
            notes.append(spends_fast)
        for key in self.effective.unreadable_settings:
            notes.append(
                f"The stored value of {key} cannot be read, so the strictest one holds. Set it"
                f" again: aegis settings set {key} VALUE"
            )
        if self.home.erase_request.exists():
            notes.append(
                "The server has not confirmed the erase request yet; AegisAI keeps trying."
            )
        if self.cycles.error is not None:
            notes.append(str(self.cycles.error))
        return tuple(notes)
