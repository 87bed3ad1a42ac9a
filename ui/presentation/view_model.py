"""What the tray and the window show of a Status: texts and flags.

1. It decides nothing: whether an action is offered follows from the Status alone.
2. Without a Status (no agent answers) it claims nothing about budget or samples, and of consent
   only that a yes may hold, so that it can be withdrawn. It shows why the last cycle failed or
   waited, with its time.
"""

from dataclasses import dataclass, replace

from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, ConsentState, Status
from ui.presentation.budget_labels import BudgetLabels, budget_labels
from ui.presentation.locale_formatter import LocaleFormatter
from ui.presentation.reason_labels import ReasonLabel, reason_label
from ui.presentation.status_labels import consent_label, state_label

_NEVER_RUN_ONCE = {
    ReasonCode.NO_CONSENT,
    ReasonCode.DENIED_BY_POLICY,
    ReasonCode.KEYRING_LOCKED,
    ReasonCode.KEYRING_ITEM_LOCKED,
    ReasonCode.KEYRING_NO_DEFAULT,
    ReasonCode.KEYRING_ABSENT,
    ReasonCode.KEYRING_TIMEOUT,
    ReasonCode.KEYRING_DENIED,
    ReasonCode.KEYRING_TOO_LARGE,
    ReasonCode.KEY_STORE_CLOSED,
    ReasonCode.NOT_ENROLLED,
    ReasonCode.LEDGER_FORKED,
    ReasonCode.BUDGET_SPENT,
    ReasonCode.MODEL_SPENT,
    ReasonCode.DAY_SPENT,
    ReasonCode.ROUND_TOO_EXPENSIVE,
    ReasonCode.NOTHING_TO_LEARN,
}
"""Reasons that training once cannot override; the others are the person's own limits."""


@dataclass(frozen=True)
class Menu:
    """What the tray's menu says and offers."""

    first_line: str
    can_pause: bool
    can_resume: bool
    can_run_once: bool
    consent_text: str
    contributes: bool
    can_decide: bool


@dataclass(frozen=True)
class View:
    """Everything that the tray and the Overview page show of a Status."""

    state: AgentState
    headline: str
    detail: str
    tooltip: str
    progress: float | None
    reasons: tuple[ReasonLabel, ...]
    menu: Menu
    consent: str
    consent_note: str
    contributes: bool
    can_withdraw: bool
    is_asked: bool
    """Whether the question is open: never answered, or due for renewal."""
    budget: BudgetLabels | None
    is_member: bool
    """Whether this device has joined an operator."""
    model: str
    samples: str
    notes: tuple[str, ...]


def view_of(
    status: Status | None,
    formatter: LocaleFormatter,
    last_reasons: tuple[Reason, ...] = (),
    *,
    may_contribute: bool = False,
) -> View:
    """Build the view of a Status; None stands for an agent that does not run. Then `last_reasons`
    say why the last cycle failed or waited, and `may_contribute` whether a yes may hold.
    """
    if status is None:
        return _without_agent(formatter, last_reasons, may_contribute=may_contribute)
    headline, detail = state_label(status.state, formatter), _detail(status, formatter)
    contributes = status.consent.state is ConsentState.GRANTED
    return View(
        state=status.state,
        headline=headline,
        detail=detail,
        tooltip=_joined("AegisAI", headline, detail),
        progress=status.progress,
        reasons=tuple(reason_label(reason, formatter) for reason in status.reasons),
        menu=_menu(status, detail or headline, formatter),
        consent=consent_label(status.consent.state, formatter),
        consent_note=_consent_note(status, formatter),
        contributes=contributes,
        can_withdraw=contributes,
        is_asked=status.consent.state in (ConsentState.UNASKED, ConsentState.STALE),
        budget=budget_labels(status.budget, formatter),
        is_member=status.operator is not None,
        model=_model(status, formatter),
        samples=_samples(status, formatter),
        notes=status.notes,
    )


def _without_agent(
    formatter: LocaleFormatter, last_reasons: tuple[Reason, ...], *, may_contribute: bool
) -> View:
    headline = formatter.translate("View", "Not running")
    detail = formatter.translate(
        "View", "The AegisAI agent is not running. Nothing is read, trained or sent."
    )
    menu = Menu(
        first_line=detail,
        can_pause=False,
        can_resume=False,
        can_run_once=False,
        consent_text=_consent_text(formatter, contributes=may_contribute),
        contributes=may_contribute,
        can_decide=may_contribute,
    )
    return View(
        state=AgentState.OFF,
        headline=headline,
        detail=detail,
        tooltip=_joined("AegisAI", headline),
        progress=None,
        reasons=tuple(
            replace(reason_label(reason, formatter), page="", action="") for reason in last_reasons
        ),
        menu=menu,
        consent="",
        consent_note=formatter.translate("View", "You can still stop contributing.")
        if may_contribute
        else "",
        contributes=False,
        can_withdraw=may_contribute,
        is_asked=False,
        budget=None,
        is_member=True,  # unknown: offers no invitation
        model="",
        samples="",
        notes=(),
    )


def _detail(status: Status, formatter: LocaleFormatter) -> str:
    if status.state in (AgentState.TRAINING, AgentState.SENDING):
        return _activity(status, formatter)
    if status.state is AgentState.PAUSED:
        if not status.paused_until:
            return formatter.translate("View", "Until you resume")
        return formatter.translate("View", "Until {time}").format(
            time=formatter.moment(status.paused_until)
        )
    if status.reasons:
        return reason_label(status.reasons[0], formatter).title
    if status.state is AgentState.WAITING and status.next_at:
        return formatter.translate("View", "Looks for a round at {time}").format(
            time=formatter.moment(status.next_at)
        )
    return ""


def _activity(status: Status, formatter: LocaleFormatter) -> str:
    if status.state is AgentState.TRAINING:
        return formatter.translate("View", "Learning from your samples on this computer")
    return formatter.translate("View", "Sending a noised update")


def _menu(status: Status, first_line: str, formatter: LocaleFormatter) -> Menu:
    granted = status.consent.state is ConsentState.GRANTED
    paused = status.paused_until is not None
    blockers = [reason for reason in status.reasons if reason.code in _NEVER_RUN_ONCE]
    return Menu(
        first_line=first_line,
        can_pause=granted and not paused,
        can_resume=granted and paused,
        can_run_once=granted
        and not blockers
        and status.state not in (AgentState.TRAINING, AgentState.SENDING),
        consent_text=_consent_text(formatter, contributes=granted),
        contributes=granted,
        can_decide=True,
    )


def _consent_text(formatter: LocaleFormatter, *, contributes: bool) -> str:
    if contributes:
        return formatter.translate("View", "Stop contributing")
    return formatter.translate("View", "Contribute…")


def _consent_note(status: Status, formatter: LocaleFormatter) -> str:
    consent = status.consent
    if (
        consent.state is ConsentState.GRANTED
        and consent.decided_at is not None
        and consent.refresh_at is not None
    ):
        return formatter.translate(
            "View", "Since {since}. It holds until {until}; then you are asked again."
        ).format(
            since=formatter.moment(consent.decided_at), until=formatter.moment(consent.refresh_at)
        )
    if (
        consent.state in (ConsentState.REFUSED, ConsentState.WITHDRAWN)
        and consent.decided_at is not None
    ):
        return formatter.translate(
            "View", "Since {since}. Nothing is read for training and nothing is sent."
        ).format(since=formatter.moment(consent.decided_at))
    return formatter.translate(
        "View", "Until you say yes, nothing is read for training and nothing is sent."
    )


def _model(status: Status, formatter: LocaleFormatter) -> str:
    if status.model.demonstration or status.model.version == 0:
        return formatter.translate(
            "View", "Demonstration model (made from synthetic files; not for protection)"
        )
    return formatter.translate("View", "Version {version}, signed and verified").format(
        version=status.model.version
    )


def _samples(status: Status, formatter: LocaleFormatter) -> str:
    if not status.samples_benign + status.samples_malicious:
        return formatter.translate(
            "View", "None yet. Add program files that you know to be good or bad."
        )
    return formatter.translate("View", "{benign} benign, {malicious} malicious").format(
        benign=status.samples_benign, malicious=status.samples_malicious
    )


def _joined(*parts: str) -> str:
    return " – ".join(part for part in parts if part)
