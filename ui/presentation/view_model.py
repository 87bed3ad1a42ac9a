"""What a window or the tray says about a Status: texts, flags and the names of icons. Plain Python
without widgets or rules.

`words` translates and writes dates and numbers (ui/i18n); tests pass plain ones.
"""

from dataclasses import dataclass

from agent.reasons import Reason, ReasonCode
from agent.status import AgentState, BudgetView, ConsentState, Status
from ui.presentation.locale_formatter import LocaleFormatter
from ui.presentation.setting_labels import setting_words

DAY_S = 24 * 3600


@dataclass(frozen=True)
class ReasonText:
    """One reason for waiting, ready to show."""

    code: ReasonCode
    title: str
    note: str
    """Reading, source and end, or empty."""
    setting: str
    """Key of the setting that lifts it, or empty."""
    page: str
    """The page where it is lifted: "limits" for a setting, or another, or empty."""
    way_out: str
    """What the way there is called: "Change: Train on battery"; empty where waiting is all that
    helps."""


@dataclass(frozen=True)
class Menu:
    """The tray's menu."""

    first_line: str
    can_pause: bool
    can_resume: bool
    can_run_once: bool
    consent_text: str
    contributes: bool
    can_decide: bool


@dataclass(frozen=True)
class BudgetText:
    share: float
    """Used part of the period's budget, 0 to 1."""
    headline: str
    meaning: str
    """What the budget does, in plain words."""
    figures: str
    lifetime: str
    fallback: str
    """The protection that is left if the sum's protection fails."""


@dataclass(frozen=True)
class View:
    """Everything that tray and Overview show of a Status."""

    state: AgentState
    headline: str
    detail: str
    tooltip: str
    progress: float | None
    reasons: tuple[ReasonText, ...]
    menu: Menu
    consent: str
    consent_note: str
    contributes: bool
    is_asked: bool
    """Whether the question waits for an answer (unasked, or to be renewed)."""
    budget: BudgetText | None
    is_member: bool
    """Whether an operator was joined."""
    model: str
    samples: str
    notes: tuple[str, ...]


def view_of(status: Status | None, words: LocaleFormatter) -> View:
    """The view of a Status; of none while no agent runs."""
    if status is None:
        return _without_agent(words)
    headline, detail = state_word(status.state, words), _detail(status, words)
    contributes = status.consent.state is ConsentState.GRANTED
    return View(
        state=status.state,
        headline=headline,
        detail=detail,
        tooltip=_sentence("AegisAI", headline, detail),
        progress=status.progress,
        reasons=tuple(reason_text(reason, words) for reason in status.reasons),
        menu=_menu(status, detail or headline, words),
        consent=consent_word(status.consent.state, words),
        consent_note=_consent_note(status, words),
        contributes=contributes,
        is_asked=status.consent.state in (ConsentState.UNASKED, ConsentState.STALE),
        budget=budget_text(status.budget, words),
        is_member=status.operator is not None,
        model=_model(status, words),
        samples=_samples(status, words),
        notes=status.notes,
    )


def _without_agent(words: LocaleFormatter) -> View:
    headline = words.translate("View", "Not running")
    detail = words.translate(
        "View", "The AegisAI agent is not running. Nothing is read, trained or sent."
    )
    menu = Menu(detail, False, False, False, words.translate("View", "Contribute…"), False, False)
    return View(
        AgentState.OFF,
        headline,
        detail,
        _sentence("AegisAI", headline),
        None,
        (),
        menu,
        "",
        "",
        False,
        False,
        None,
        True,
        "",
        "",
        (),
    )


def state_word(state: AgentState, words: LocaleFormatter) -> str:
    """The word of each of the seven states; never colour alone."""
    match state:
        case AgentState.OFF:
            return words.translate("View", "Off")
        case AgentState.WAITING:
            return words.translate("View", "Waiting")
        case AgentState.TRAINING:
            return words.translate("View", "Training")
        case AgentState.SENDING:
            return words.translate("View", "Sending")
        case AgentState.PAUSED:
            return words.translate("View", "Paused")
        case AgentState.ATTENTION:
            return words.translate("View", "Needs you")
        case AgentState.ERROR:
            return words.translate("View", "Something went wrong")


def consent_word(state: ConsentState, words: LocaleFormatter) -> str:
    match state:
        case ConsentState.UNASKED:
            return words.translate("View", "You have not decided yet")
        case ConsentState.GRANTED:
            return words.translate("View", "You agreed to contribute")
        case ConsentState.REFUSED:
            return words.translate("View", "You decided not to contribute")
        case ConsentState.WITHDRAWN:
            return words.translate("View", "You stopped contributing")
        case ConsentState.STALE:
            return words.translate("View", "The question has to be answered again")


def reason_text(reason: Reason, words: LocaleFormatter) -> ReasonText:
    """A reason in this person's language; what the agent itself says stands in where only it knows
    more.
    """
    title = _reason_title(reason.code, words)
    parts = [reason.text] if reason.code in _TELLS_MORE and reason.text else []
    if reason.reading and reason.code is not ReasonCode.NOTHING_TO_LEARN:
        reading = (
            words.translate("View", "{reading} (read from {source})")
            if reason.source
            else "{reading}"
        )
        parts.append(reading.format(reading=reason.reading, source=reason.source))
    if reason.until:
        parts.append(
            words.translate("View", "until {time}").format(time=words.moment(reason.until))
        )
    page, way_out = _way_out(reason, words)
    return ReasonText(reason.code, title, " · ".join(parts), reason.setting, page, way_out)


def _way_out(reason: Reason, words: LocaleFormatter) -> tuple[str, str]:
    if name := setting_words(words).get(reason.setting):
        return "limits", words.translate("View", "Change: {setting}").format(setting=name)
    if reason.code is ReasonCode.NOTHING_TO_LEARN:
        return "scan", words.translate("View", "Add program files")
    if reason.code is ReasonCode.NOT_ENROLLED:
        return "join", words.translate("View", "Enter an invitation")
    return "", ""


_TELLS_MORE = {
    ReasonCode.DENIED_BY_POLICY,
    ReasonCode.KEYRING_LOCKED,
    ReasonCode.KEYRING_ABSENT,
    ReasonCode.KEYRING_DENIED,
    ReasonCode.KEYRING_TOO_LARGE,
    ReasonCode.BACKOFF,
    ReasonCode.OFFLINE,
    ReasonCode.BUDGET_SPENT,
}


def _reason_title(code: ReasonCode, words: LocaleFormatter) -> str:
    titles = {
        ReasonCode.NO_CONSENT: words.translate("View", "You have not agreed to contribute"),
        ReasonCode.DENIED_BY_POLICY: words.translate("View", "Your organisation does not allow it"),
        ReasonCode.USER_PAUSED: words.translate("View", "You paused it"),
        ReasonCode.KEYRING_LOCKED: words.translate("View", "The keyring of your login is locked"),
        ReasonCode.KEYRING_ABSENT: words.translate("View", "No safe place for this device's key"),
        ReasonCode.KEYRING_DENIED: words.translate("View", "The keyring of your login refused"),
        ReasonCode.KEYRING_TOO_LARGE: words.translate(
            "View", "The keyring does not hold this device's key"
        ),
        ReasonCode.NOT_ENROLLED: words.translate("View", "No operator has been joined yet"),
        ReasonCode.BUDGET_SPENT: words.translate("View", "The privacy budget is used up"),
        ReasonCode.ON_BATTERY: words.translate("View", "The computer runs on battery"),
        ReasonCode.BATTERY_LOW: words.translate("View", "The battery is low"),
        ReasonCode.HOT: words.translate("View", "The computer is hot"),
        ReasonCode.OTHER_SESSION: words.translate("View", "Somebody else is using this computer"),
        ReasonCode.FULL_SCREEN: words.translate("View", "A program fills the screen"),
        ReasonCode.IN_USE: words.translate("View", "You are using the computer"),
        ReasonCode.IDLE_UNKNOWN: words.translate(
            "View", "Whether the computer is in use cannot be told"
        ),
        ReasonCode.BUSY: words.translate("View", "Other programs are busy"),
        ReasonCode.OUTSIDE_HOURS: words.translate("View", "Outside the hours you chose"),
        ReasonCode.LOW_MEMORY: words.translate("View", "Memory is short"),
        ReasonCode.LOW_DISK: words.translate("View", "Disk space is short"),
        ReasonCode.BACKOFF: words.translate("View", "Waiting after a failure"),
        ReasonCode.NOTHING_TO_LEARN: words.translate("View", "There is nothing to learn from yet"),
        ReasonCode.METERED: words.translate("View", "The network is metered"),
        ReasonCode.OFFLINE: words.translate("View", "The server cannot be reached"),
        ReasonCode.HOLD: words.translate("View", "The update waits, so that you can discard it"),
        ReasonCode.NO_ROUND: words.translate("View", "No round is open"),
    }
    return titles[code]


def _detail(status: Status, words: LocaleFormatter) -> str:
    if status.state in (AgentState.TRAINING, AgentState.SENDING):
        return _activity(status, words)
    if status.state is AgentState.PAUSED:
        if not status.paused_until:
            return words.translate("View", "Until you resume")
        return words.translate("View", "Until {time}").format(
            time=words.moment(status.paused_until)
        )
    if status.reasons:
        return reason_text(status.reasons[0], words).title
    if status.state is AgentState.WAITING and status.next_at:
        return words.translate("View", "Looks for a round at {time}").format(
            time=words.moment(status.next_at)
        )
    return ""


def _activity(status: Status, words: LocaleFormatter) -> str:
    if status.state is AgentState.TRAINING:
        return words.translate("View", "Learning from your samples on this computer")
    return words.translate("View", "Sending a noised update")


def _menu(status: Status, first_line: str, words: LocaleFormatter) -> Menu:
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
        consent_text=(
            words.translate("View", "Stop contributing")
            if granted
            else words.translate("View", "Contribute…")
        ),
        contributes=granted,
        can_decide=True,
    )


_NEVER_RUN_ONCE = {
    ReasonCode.NO_CONSENT,
    ReasonCode.DENIED_BY_POLICY,
    ReasonCode.KEYRING_LOCKED,
    ReasonCode.KEYRING_ABSENT,
    ReasonCode.KEYRING_DENIED,
    ReasonCode.KEYRING_TOO_LARGE,
    ReasonCode.NOT_ENROLLED,
    ReasonCode.BUDGET_SPENT,
    ReasonCode.NOTHING_TO_LEARN,
}


def _consent_note(status: Status, words: LocaleFormatter) -> str:
    consent = status.consent
    if (
        consent.state is ConsentState.GRANTED
        and consent.decided_at is not None
        and consent.refresh_at is not None
    ):
        return words.translate(
            "View", "Since {since}. It holds until {until}; then you are asked again."
        ).format(since=words.moment(consent.decided_at), until=words.moment(consent.refresh_at))
    if (
        consent.state in (ConsentState.REFUSED, ConsentState.WITHDRAWN)
        and consent.decided_at is not None
    ):
        return words.translate(
            "View", "Since {since}. Nothing is read for training and nothing is sent."
        ).format(since=words.moment(consent.decided_at))
    return words.translate(
        "View", "Until you say yes, nothing is read for training and nothing is sent."
    )


def budget_text(budget: BudgetView, words: LocaleFormatter) -> BudgetText:
    share = (
        min(1.0, budget.epsilon_ledger / budget.epsilon_period)
        if budget.epsilon_period > 0
        else 1.0
    )
    if budget.may_take_part_at is not None:
        headline = words.translate(
            "View", "Used up. This device may take part again on {time}."
        ).format(time=words.moment(budget.may_take_part_at))
    elif budget.charges == 0:
        headline = words.translate("View", "Nothing has been used yet.")
    else:
        headline = words.translate(
            "View", "{percent} % of the budget for {days} days is used."
        ).format(percent=words.number(100 * share, 0), days=budget.period_days)
    return BudgetText(
        share=share,
        headline=headline,
        meaning=_budget_meaning(budget, words),
        figures=words.translate("View", "ε = {used} of {period}, at δ = {delta}").format(
            used=_epsilon(budget.epsilon_ledger, words),
            period=_epsilon(budget.epsilon_period, words),
            delta=f"1/{words.number(1 / budget.delta, 0)}",
        ),
        lifetime=words.translate(
            "View", "Over this device's whole life: ε = {used} of at most {ceiling}"
        ).format(
            used=_epsilon(budget.epsilon_lifetime, words),
            ceiling=_epsilon(budget.epsilon_lifetime_ceiling, words),
        ),
        fallback=words.translate(
            "View", "If only your device's own noise protected you: ε = {local}"
        ).format(local=_epsilon(budget.epsilon_local, words)),
    )


def _budget_meaning(budget: BudgetView, words: LocaleFormatter) -> str:
    kept = words.translate(
        "View",
        "Every update that is sent uses a part of it. It limits what an update can tell about your"
        " files.",
    )
    if budget.may_take_part_at is not None:
        return words.translate(
            "View", "Until then nothing is trained or sent. Nobody but you can raise it."
        )
    if budget.renews_at is None:
        return f"{kept} " + words.translate(
            "View", "When it is used up, this device stops taking part by itself."
        )
    stops = words.translate(
        "View", "When it is used up, this device stops taking part by itself, until {time}."
    )
    return f"{kept} " + stops.format(time=words.moment(budget.renews_at))


def _epsilon(value: float, words: LocaleFormatter) -> str:
    return words.number(value, 2 if value < 10 else 0)


def _model(status: Status, words: LocaleFormatter) -> str:
    if status.model.demonstration or status.model.version == 0:
        return words.translate(
            "View", "Demonstration model (made from synthetic files; not for protection)"
        )
    return words.translate("View", "Version {version}, signed and verified").format(
        version=status.model.version
    )


def _samples(status: Status, words: LocaleFormatter) -> str:
    if not status.samples_benign + status.samples_malicious:
        return words.translate(
            "View", "None yet. Add program files that you know to be good or bad."
        )
    return words.translate("View", "{benign} benign, {malicious} malicious").format(
        benign=status.samples_benign, malicious=status.samples_malicious
    )


def share_text(percent_of_core: float, cores: int, words: LocaleFormatter) -> str:
    """A processor share in both of the units that people compare: of a core, and of the whole
    computer.
    """
    return words.translate("View", "{core} % of one core = {whole} % of this computer").format(
        core=words.number(percent_of_core, 0),
        whole=words.number(percent_of_core / cores, 1 if percent_of_core / cores < 10 else 0),
    )


def sending_word(state: str, words: LocaleFormatter) -> str:
    """The state of an outbox entry."""
    names = {
        "unsent": words.translate("View", "Not sent yet"),
        "acknowledged": words.translate("View", "Received"),
        "closed": words.translate("View", "Round had ended"),
        "refused": words.translate("View", "Refused"),
        "withdrawn": words.translate("View", "Withdrawn"),
    }
    return names.get(state, state)


def verdict_word(verdict: str, words: LocaleFormatter) -> str:
    names = {
        "benign": words.translate("View", "Looks benign"),
        "malicious": words.translate("View", "Looks malicious"),
        "unsure": words.translate("View", "Unsure"),
        "not_pe": words.translate("View", "Not a Windows program"),
        "error": words.translate("View", "Could not be read"),
    }
    return names.get(verdict, verdict)


def origin_word(origin: str, words: LocaleFormatter) -> str:
    names = {
        "default": words.translate("View", "Default"),
        "you": words.translate("View", "Chosen by you"),
        "invitation": words.translate("View", "From the invitation"),
        "policy": words.translate("View", "Managed by your organisation"),
    }
    return names.get(origin, origin)


def _sentence(*parts: str) -> str:
    return " – ".join(part for part in parts if part)
