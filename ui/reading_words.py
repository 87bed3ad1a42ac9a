"""What is measured on this computer, in words: name, value, and where it was read or why it cannot be told. Plain Python."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.status import ReadingView
from ui.words import Words

UNKNOWN = "unknown"


@dataclass(frozen=True)
class ReadingText:
    name: str
    value: str
    note: str
    """Where it was read, or why it cannot be told."""
    is_known: bool


def reading_text(reading: ReadingView, words: Words) -> ReadingText:
    """A reading in this person's language; a name that is not known here is shown as the agent says it."""
    name = _names(words).get(reading.name, reading.name)
    if reading.value.startswith(UNKNOWN):
        return ReadingText(name, words.translate("Readings", "cannot be told"), _why(reading.source), is_known=False)
    value = {"yes": words.translate("Readings", "yes"), "no": words.translate("Readings", "no")}.get(reading.value, reading.value)
    return ReadingText(name, value, words.translate("Readings", "read from {source}").format(source=reading.source), is_known=True)


def unknown_line(readings: Sequence[ReadingText], words: Words) -> str:
    """One line for everything that cannot be told here; empty when there is nothing."""
    missing = ", ".join(reading.name.lower() for reading in readings if not reading.is_known)
    return words.translate("Readings", "Cannot be told on this computer: {names}.").format(names=missing) if missing else ""


def _why(source: str) -> str:
    """Without the name of the program's own error."""
    reason, _, error = source.rpartition(": ")
    return reason if error.endswith("Error") and reason else source


def _names(words: Words) -> dict[str, str]:
    return {
        "on mains": words.translate("Readings", "Plugged in"),
        "charge": words.translate("Readings", "Battery charge"),
        "others cpu": words.translate("Readings", "Load of other programs"),
        "memory free": words.translate("Readings", "Free memory"),
        "disk free": words.translate("Readings", "Free disk space"),
        "idle": words.translate("Readings", "Not used for"),
        "session active": words.translate("Readings", "You are in front"),
        "full screen": words.translate("Readings", "A program fills the screen"),
        "temperature": words.translate("Readings", "Temperature"),
        "metered": words.translate("Readings", "Metered network"),
        "online": words.translate("Readings", "Network"),
    }
