"""Labels for the states that the agent reports: its own, the consent's, an update's, a scanned
file's and the origin of a setting.
"""

from agent.status import AgentState, ConsentState
from ui.presentation.locale_formatter import LocaleFormatter


def state_label(state: AgentState, formatter: LocaleFormatter) -> str:
    """The word for each of the seven states, so that no state is shown by colour alone."""
    match state:
        case AgentState.OFF:
            return formatter.translate("View", "Off")
        case AgentState.WAITING:
            return formatter.translate("View", "Waiting")
        case AgentState.TRAINING:
            return formatter.translate("View", "Training")
        case AgentState.SENDING:
            return formatter.translate("View", "Sending")
        case AgentState.PAUSED:
            return formatter.translate("View", "Paused")
        case AgentState.ATTENTION:
            return formatter.translate("View", "Needs you")
        case AgentState.ERROR:
            return formatter.translate("View", "Something went wrong")


def consent_label(state: ConsentState, formatter: LocaleFormatter) -> str:
    match state:
        case ConsentState.UNASKED:
            return formatter.translate("View", "You have not decided yet")
        case ConsentState.GRANTED:
            return formatter.translate("View", "You agreed to contribute")
        case ConsentState.REFUSED:
            return formatter.translate("View", "You decided not to contribute")
        case ConsentState.WITHDRAWN:
            return formatter.translate("View", "You stopped contributing")
        case ConsentState.STALE:
            return formatter.translate("View", "The question has to be answered again")


def delivery_label(state: str, formatter: LocaleFormatter) -> str:
    """The state of an outbox entry; a state that is not known here is shown unchanged."""
    labels = {
        "unsent": formatter.translate("View", "Not sent yet"),
        "acknowledged": formatter.translate("View", "Received"),
        "closed": formatter.translate("View", "Round had ended"),
        "refused": formatter.translate("View", "Refused"),
        "withdrawn": formatter.translate("View", "Withdrawn"),
    }
    return labels.get(state, state)


def verdict_label(verdict: str, formatter: LocaleFormatter) -> str:
    """The verdict on a scanned file; a verdict that is not known here is shown unchanged."""
    labels = {
        "benign": formatter.translate("View", "Looks benign"),
        "malicious": formatter.translate("View", "Suspicious"),
        "unsure": formatter.translate("View", "Unsure"),
        "not_pe": formatter.translate("View", "Not a Windows program"),
        "error": formatter.translate("View", "Could not be read"),
    }
    return labels.get(verdict, verdict)


def origin_label(origin: str, formatter: LocaleFormatter) -> str:
    """Who set a setting; an origin that is not known here is shown unchanged."""
    labels = {
        "default": formatter.translate("View", "Default"),
        "you": formatter.translate("View", "Chosen by you"),
        "invitation": formatter.translate("View", "From the invitation"),
        "policy": formatter.translate("View", "Managed by your organisation"),
    }
    return labels.get(origin, origin)
