"""What is measured on this computer, in words: name, value, and where it was read or why it cannot
be told. Plain Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.status import ReadingView, WorkView
from ui.presentation.locale_formatter import LocaleFormatter
from ui.presentation.view_model import share_text

UNKNOWN = "unknown"
MINUTE_S = 60
HOUR_S = 3600


@dataclass(frozen=True)
class ReadingText:
    name: str
    value: str
    note: str
    """Where it was read, or why it cannot be told."""
    is_known: bool


def reading_text(reading: ReadingView, words: LocaleFormatter) -> ReadingText:
    """A reading in this person's language; a name that is not known here is shown as the agent says
    it.
    """
    name = _names(words).get(reading.name, reading.name)
    if reading.value.startswith(UNKNOWN):
        return ReadingText(
            name,
            words.translate("Readings", "cannot be told"),
            _why(reading.source),
            is_known=False,
        )
    value = {
        "yes": words.translate("Readings", "yes"),
        "no": words.translate("Readings", "no"),
    }.get(reading.value, _spell(reading.value, words))
    return ReadingText(
        name,
        value,
        words.translate("Readings", "read from {source}").format(source=reading.source),
        is_known=True,
    )


def work_texts(work: WorkView | None, cores: int, words: LocaleFormatter) -> list[ReadingText]:
    """What training may take now, and what it takes while it runs; both shares in both units."""
    if work is None:
        return []
    told = [
        (
            words.translate("Readings", "Training may take"),
            work.limit_percent,
            words.translate("Readings", "your limits"),
        )
    ]
    if work.measured_percent is not None:
        still, minute = (
            words.translate("Readings", "standing still"),
            words.translate("Readings", "in the last minute, read from the kernel"),
        )
        note = still if work.held else minute
        told.append(
            (words.translate("Readings", "Training takes"), round(work.measured_percent), note)
        )
    return [
        ReadingText(name, share_text(share, cores, words), note, is_known=True)
        for name, share, note in told
    ]


def unknown_line(readings: Sequence[ReadingText], words: LocaleFormatter) -> str:
    """One line for everything that cannot be told here; empty when there is nothing."""
    missing = ", ".join(reading.name.lower() for reading in readings if not reading.is_known)
    return (
        words.translate("Readings", "Cannot be told on this computer: {names}.").format(
            names=missing
        )
        if missing
        else ""
    )


def _spell(value: str, words: LocaleFormatter) -> str:
    """Seconds as people tell them, rounded down; everything else as it is."""
    number, _, unit = value.rpartition(" ")
    if unit != "s" or not number.isdecimal() or int(number) < MINUTE_S:
        return value
    if int(number) < 2 * HOUR_S:
        return words.translate("Readings", "{count} min").format(count=int(number) // MINUTE_S)
    return words.translate("Readings", "{count} h").format(count=int(number) // HOUR_S)


def _why(source: str) -> str:
    """Without the name of the program's own error."""
    reason, _, error = source.rpartition(": ")
    return reason if error.endswith("Error") and reason else source


def _names(words: LocaleFormatter) -> dict[str, str]:
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
