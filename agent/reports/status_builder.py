"""How the agent stands: the reasons of its own for waiting (consent, pause, identity, budget) and
the Status made of everything.
"""

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.errors import AegisError
from agent.reasons import Reason, ReasonCode
from agent.rounds.outcome import MENDABLE, CycleResult, Outcome
from agent.status import (
    AgentState,
    BudgetView,
    ConsentState,
    ConsentView,
    ModelView,
    OperatorView,
    SentView,
    Status,
    WorkView,
    share_in_words,
)

if TYPE_CHECKING:
    from agent.app import Agent

_KEYRING = {
    "KEYRING_LOCKED": ReasonCode.KEYRING_LOCKED,
    "KEYRING_ABSENT": ReasonCode.KEYRING_ABSENT,
    "KEYRING_DENIED": ReasonCode.KEYRING_DENIED,
    "KEYRING_TOO_LARGE": ReasonCode.KEYRING_TOO_LARGE,
    "CREDENTIAL_MISSING": ReasonCode.KEYRING_ABSENT,
    "PASSPHRASE_MISSING": ReasonCode.KEYRING_LOCKED,
}
_ATTENTION = {*_KEYRING.values(), ReasonCode.NOT_ENROLLED}
_ORDER = {code: place for place, code in enumerate(ReasonCode)}


@dataclass(frozen=True)
class Faults:
    """How the last pass ended, as far as it still matters."""

    error: AegisError | None = None
    result: CycleResult | None = None

    def after_fault(self, error: AegisError) -> "Faults":
        return replace(self, error=error)

    def after_pass(self, result: CycleResult) -> "Faults":
        return Faults(None, result)

    def after_change(self) -> "Faults":
        """A person changed something: what the last pass waited for may be over, and is told anew
        by the next one.
        """
        return (
            replace(self, result=None)
            if self.result is not None and self.result.outcome in MENDABLE
            else self
        )


def blocking_reasons(agent: "Agent") -> tuple[Reason, ...]:
    """What holds back both training and sending, worst first; empty when nothing does."""
    found = []
    if denial := agent.gate.denial():
        found.append(Reason(denial.code, denial.message))
    paused = paused_until(agent)
    if paused is not None:
        text = "You paused it." if paused == 0 else "You paused it for a while."
        found.append(Reason(ReasonCode.USER_PAUSED, text, until=paused or None))
    return tuple(found)


def waiting_reasons(agent: "Agent") -> tuple[Reason, ...]:
    """Everything that holds it back now, in the order in which it is told; needs no network."""
    found = list(blocking_reasons(agent))
    if agent.effective.enrolment() is None:
        found.append(Reason(ReasonCode.NOT_ENROLLED, "No operator was joined yet."))
    if fault := _ledger_fault(agent):
        found.append(Reason(ReasonCode.BUDGET_SPENT, f"{fault.message} {fault.remedy}"))
    elif (spent := _spent(agent)) is not None:
        found.extend(spent.reasons)
    error, result, now = agent.faults.error, agent.faults.result, agent.clock.now()
    if error is not None and (code := _KEYRING.get(error.code)):
        found.append(Reason(code, f"{error.message} {error.remedy}"))
    if error is not None and error.code == "OFFLINE":
        found.append(Reason(ReasonCode.OFFLINE, error.message))
    if result is not None:
        found.extend(
            reason for reason in result.reasons if reason.until is None or reason.until > now
        )
        if result.outcome in (Outcome.NO_ROUND, Outcome.ALREADY_CONTRIBUTED):
            found.append(Reason(ReasonCode.NO_ROUND, result.text, until=agent.next_at))
    found.extend((*agent.conditions.may_train(), *agent.conditions.may_send()))
    if agent.samples.counts().total == 0:
        found.append(
            Reason(
                ReasonCode.NOTHING_TO_LEARN, "There are no training rows yet.", "0 rows", "samples"
            )
        )
    unique = {reason.code: reason for reason in reversed(found)}
    return tuple(sorted(unique.values(), key=lambda reason: _ORDER[reason.code]))


def paused_until(agent: "Agent") -> int | None:
    """End of the pause, 0 for "until resumed", None when not paused."""
    held = agent.values.get("pause")
    if held is None:
        return None
    until = int(held["until"])
    return None if until and until <= agent.clock.now() else until


def status_of(agent: "Agent") -> Status:
    """The Status as it is now. Reads the store; asks neither keyring nor network."""
    consent_status, notice_id = agent.gate.consent_status(), agent.effective.notice_id()
    reasons, activity = waiting_reasons(agent), agent.runner.activity
    enrolment, counts, totals = (
        agent.effective.enrolment(),
        agent.samples.counts(),
        agent.ledger.totals(),
    )
    decided, own = consent_status.entry, blocking_reasons(agent)
    return Status(
        state=_state(agent, consent_status.state, reasons),
        consent=ConsentView(
            consent_status.state,
            notice_id,
            decided.notice_id if decided else None,
            decided.at if decided else None,
            consent_status.refresh_at,
        ),
        budget=budget_view(agent),
        model=_model_view(agent),
        enrolled=enrolment is not None and enrolment.is_registered,
        reasons=reasons,
        operator=(
            OperatorView(enrolment.operator.name, enrolment.operator.contact, enrolment.server)
            if enrolment
            else None
        ),
        paused_until=paused_until(agent),
        activity=activity.text,
        progress=activity.progress,
        next_at=agent.next_at,
        samples_benign=counts.benign,
        samples_malicious=counts.malicious,
        sent=SentView(totals.sent, totals.bytes_up, totals.last_at),
        may_train=not own and not agent.conditions.may_train(),
        may_send=not own and not agent.conditions.may_send(),
        work=work_view(agent),
        last_stop=agent.last_stop,
        erase_pending=agent.home.erase_request.exists(),
        demo=agent.home.is_demo,
        group_floor=_floor(agent),
        readings=agent.conditions.readings(),
        notes=_notes(agent),
    )


def budget_view(agent: "Agent") -> BudgetView:
    """The budget in ε. Raises nothing: a ledger that cannot be read shows as spent."""
    from agent.privacy.zcdp import epsilon

    budget = agent.effective.budget()
    try:
        charges = agent.ledger.charges()
    except AegisError:
        return BudgetView(
            epsilon_period=budget.epsilon,
            delta=budget.delta,
            period_days=budget.period_days,
            epsilon_ledger=budget.epsilon,
            epsilon_local=budget.epsilon,
            epsilon_lifetime=budget.lifetime_epsilon,
            epsilon_lifetime_ceiling=budget.lifetime_epsilon,
        )
    now = agent.clock.now()
    start = now - budget.period_days * 24 * 3600
    recent = [charge for charge in charges if charge.at > start]
    period, local, whole = (
        sum(charge.rho_units for charge in recent),
        sum(charge.rho_local_units for charge in recent),
        sum(charge.rho_units for charge in charges),
    )
    spent = _spent(agent)
    return BudgetView(
        epsilon_period=budget.epsilon,
        delta=budget.delta,
        period_days=budget.period_days,
        epsilon_ledger=epsilon(period, budget.delta),
        epsilon_local=epsilon(local, budget.delta),
        epsilon_lifetime=epsilon(whole, budget.delta),
        epsilon_lifetime_ceiling=budget.lifetime_epsilon,
        renews_at=recent[0].at + budget.period_days * 24 * 3600 if recent else None,
        may_take_part_at=spent.may_take_part_at if spent else None,
        charges=len(charges),
    )


def _ledger_fault(agent: "Agent") -> AegisError | None:
    try:
        agent.ledger.charges()
    except AegisError as error:
        return error
    return None


def _spent(agent: "Agent") -> CycleResult | None:
    """Whether the budget has no room for another round like the last one that was offered; kept
    over a restart.
    """
    task = agent.effective.task()
    return None if task is None else agent.budget_gate.spent(str(task["task_id"]))


def _state(agent: "Agent", consent: ConsentState, reasons: tuple[Reason, ...]) -> AgentState:
    codes = {reason.code for reason in reasons}
    if consent is ConsentState.STALE:
        return AgentState.ATTENTION
    if codes & {ReasonCode.NO_CONSENT, ReasonCode.DENIED_BY_POLICY}:
        return AgentState.OFF
    if agent.runner.activity.kind and not agent.runner.is_held:
        return AgentState(agent.runner.activity.kind)
    if ReasonCode.USER_PAUSED in codes:
        return AgentState.PAUSED
    if codes & _ATTENTION:
        return AgentState.ATTENTION
    error = agent.faults.error
    return (
        AgentState.ERROR
        if error is not None and error.code not in ("OFFLINE", "SERVER_BUSY")
        else AgentState.WAITING
    )


def work_view(agent: "Agent") -> WorkView:
    limit, measured, cores = agent.cpu_percent(), agent.measured(), os.cpu_count() or 1
    return WorkView(
        limit_percent=limit,
        limit_text=share_in_words(limit, cores),
        memory_limit_mib=agent.effective.settings().integer("memory.limit_mib"),
        measured_percent=measured.cpu_percent if measured else None,
        measured_text=share_in_words(measured.cpu_percent, cores) if measured else "",
        memory_mib=measured.rss_bytes / 2**20 if measured else None,
        held=agent.runner.is_held,
    )


def _model_view(agent: "Agent") -> ModelView:
    """Version and digest of the model in use, as its pointer says; the model itself is verified
    when it is used.
    """
    floor = agent.model_store().floor()
    return ModelView(floor.version, floor.sha256, demonstration=floor.version == 0)


def _floor(agent: "Agent") -> str:
    from agent.config.device_limits import in_words

    return in_words(agent.limits())


def _notes(agent: "Agent") -> tuple[str, ...]:
    notes = []
    if agent.home.is_demo:
        in_memory = agent.effective.settings().text("key_store") == "os"
        notes.append(
            "This home was made by the demo"
            + ("; its keys are in memory only." if in_memory else ".")
        )
    if floor := _floor(agent):
        notes.append(
            "This device was given weaker bounds than the product's, for a demonstration or a test"
            f" ({floor})."
        )
    if agent.home.erase_request.exists():
        notes.append("The server has not confirmed the erase request yet; AegisAI keeps trying.")
    if agent.faults.error is not None:
        notes.append(str(agent.faults.error))
    return tuple(notes)
