"""Why AegisAI waits, and what the person can do about it."""

from dataclasses import dataclass

from agent.reasons import Reason, ReasonCode
from ui.presentation.locale_formatter import LocaleFormatter
from ui.presentation.setting_labels import setting_labels


@dataclass(frozen=True)
class ReasonLabel:
    """One reason for waiting, ready to show."""

    code: ReasonCode
    title: str
    note: str
    """The reading, its source, when it ends and when it was seen; or empty."""
    setting: str
    """Key of the setting that removes the reason, or empty."""
    page: str
    """The page where the person can remove it, or empty."""
    action: str
    """Label of the link to that page, such as "Change: Train on battery"; empty where waiting is
    the only remedy."""


_AGENT_KNOWS_MORE = {
    ReasonCode.DENIED_BY_POLICY,
    ReasonCode.KEYRING_LOCKED,
    ReasonCode.KEYRING_ITEM_LOCKED,
    ReasonCode.KEYRING_NO_DEFAULT,
    ReasonCode.KEYRING_ABSENT,
    ReasonCode.KEYRING_TIMEOUT,
    ReasonCode.KEYRING_DENIED,
    ReasonCode.KEYRING_TOO_LARGE,
    ReasonCode.CYCLE_FAILED,
    ReasonCode.KEY_STORE_CLOSED,
    ReasonCode.BACKOFF,
    ReasonCode.OFFLINE,
    ReasonCode.LEDGER_FORKED,
    ReasonCode.BUDGET_SPENT,
    ReasonCode.MODEL_SPENT,
    ReasonCode.DAY_SPENT,
    ReasonCode.ROUND_TOO_EXPENSIVE,
}
"""Reasons whose details only the agent's own sentence has; it is shown untranslated."""


def reason_label(reason: Reason, formatter: LocaleFormatter) -> ReasonLabel:
    parts = [reason.text] if reason.code in _AGENT_KNOWS_MORE and reason.text else []
    # "0 rows" says no more than the title of NOTHING_TO_LEARN.
    if reason.reading and reason.code is not ReasonCode.NOTHING_TO_LEARN:
        reading = (
            formatter.translate("View", "{reading} (read from {source})")
            if reason.source
            else "{reading}"
        )
        parts.append(reading.format(reading=reason.reading, source=reason.source))
    if reason.until:
        until = formatter.translate("View", "until {time}")
        parts.append(until.format(time=formatter.moment(reason.until)))
    if reason.at:
        seen = formatter.translate("View", "seen {time}")
        parts.append(seen.format(time=formatter.moment(reason.at)))
    page, action = _remedy(reason, formatter)
    title = _title(reason.code, formatter)
    return ReasonLabel(reason.code, title, " · ".join(parts), reason.setting, page, action)


def _remedy(reason: Reason, formatter: LocaleFormatter) -> tuple[str, str]:
    """The page that removes a reason and the label of the link to it, or two empty strings."""
    if name := setting_labels(formatter).get(reason.setting):
        return "limits", formatter.translate("View", "Change: {setting}").format(setting=name)
    if reason.code is ReasonCode.NOTHING_TO_LEARN:
        return "scan", formatter.translate("View", "Add program files")
    if reason.code in (ReasonCode.NOT_ENROLLED, ReasonCode.LEDGER_FORKED):
        return "join", formatter.translate("View", "Enter an invitation")
    return "", ""


def _title(code: ReasonCode, formatter: LocaleFormatter) -> str:
    titles = {
        ReasonCode.NO_CONSENT: formatter.translate("View", "You have not agreed to contribute"),
        ReasonCode.DENIED_BY_POLICY: formatter.translate(
            "View", "Your organisation does not allow it"
        ),
        ReasonCode.USER_PAUSED: formatter.translate("View", "You paused it"),
        ReasonCode.KEYRING_LOCKED: formatter.translate(
            "View", "The keyring of your login is locked"
        ),
        ReasonCode.KEYRING_ITEM_LOCKED: formatter.translate(
            "View", "The keyring wants to ask you first"
        ),
        ReasonCode.KEYRING_NO_DEFAULT: formatter.translate(
            "View", "Your login has no default keyring"
        ),
        ReasonCode.KEYRING_TIMEOUT: formatter.translate("View", "The keyring does not answer"),
        ReasonCode.KEY_STORE_CLOSED: formatter.translate(
            "View", "The key store's file is not open"
        ),
        ReasonCode.KEYRING_ABSENT: formatter.translate(
            "View", "No safe place for this device's key"
        ),
        ReasonCode.KEYRING_DENIED: formatter.translate("View", "The keyring of your login refused"),
        ReasonCode.KEYRING_TOO_LARGE: formatter.translate(
            "View", "The keyring does not hold this device's key"
        ),
        ReasonCode.NOT_ENROLLED: formatter.translate("View", "No operator has been joined yet"),
        ReasonCode.LEDGER_FORKED: formatter.translate(
            "View", "Another copy of this device has taken part"
        ),
        ReasonCode.CYCLE_FAILED: formatter.translate("View", "The last attempt failed"),
        ReasonCode.BUDGET_SPENT: formatter.translate("View", "The privacy budget is used up"),
        ReasonCode.EXCLUDED: formatter.translate("View", "The operator excludes this device"),
        ReasonCode.MODEL_SPENT: formatter.translate(
            "View", "This model has had its share: may it have more?"
        ),
        ReasonCode.DAY_SPENT: formatter.translate(
            "View", "Today's share of the privacy budget is used up"
        ),
        ReasonCode.ROUND_TOO_EXPENSIVE: formatter.translate(
            "View", "The server asks for too much privacy at once"
        ),
        ReasonCode.ON_BATTERY: formatter.translate("View", "The computer runs on battery"),
        ReasonCode.BATTERY_LOW: formatter.translate("View", "The battery is low"),
        ReasonCode.HOT: formatter.translate("View", "The computer is hot"),
        ReasonCode.OTHER_SESSION: formatter.translate(
            "View", "Somebody else is using this computer"
        ),
        ReasonCode.FULL_SCREEN: formatter.translate("View", "A program fills the screen"),
        ReasonCode.IN_USE: formatter.translate("View", "You are using the computer"),
        ReasonCode.IDLE_UNKNOWN: formatter.translate(
            "View", "Unknown whether the computer is in use"
        ),
        ReasonCode.BUSY: formatter.translate("View", "Other programs are busy"),
        ReasonCode.OUTSIDE_HOURS: formatter.translate("View", "Outside the hours you chose"),
        ReasonCode.LOW_MEMORY: formatter.translate("View", "Memory is short"),
        ReasonCode.LOW_DISK: formatter.translate("View", "Disk space is short"),
        ReasonCode.BACKOFF: formatter.translate("View", "Waiting after a failure"),
        ReasonCode.NOTHING_TO_LEARN: formatter.translate(
            "View", "There is nothing to learn from yet"
        ),
        ReasonCode.SANDBOX_INCOMPLETE: formatter.translate(
            "View", "Only files that you name are read here"
        ),
        ReasonCode.METERED: formatter.translate("View", "The network is metered"),
        ReasonCode.OFFLINE: formatter.translate("View", "The server cannot be reached"),
        ReasonCode.HOLD: formatter.translate(
            "View", "The update waits, so that you can discard it"
        ),
        ReasonCode.NO_ROUND: formatter.translate("View", "No round is open"),
    }
    return titles[code]
