"""What the agent measures on this computer: the name of each reading, its value, and where it was
read or why it is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.status import ReadingView, WorkView
from ui.presentation.locale_formatter import LocaleFormatter

UNKNOWN = "unknown"
MINUTE_S = 60
HOUR_S = 3600


@dataclass(frozen=True)
class ReadingLabel:
    """One reading, ready to show."""

    name: str
    value: str
    note: str
    """Where it was read, or why it is unknown."""
    is_known: bool


def reading_label(reading: ReadingView, formatter: LocaleFormatter) -> ReadingLabel:
    """Translate a reading; a name that is not known here is shown unchanged."""
    name = _names(formatter).get(reading.name, reading.name)
    if reading.value.startswith(UNKNOWN):
        return ReadingLabel(
            name,
            formatter.translate("Readings", "Unknown"),
            _without_error_name(reading.source),
            is_known=False,
        )
    value = {
        "yes": formatter.translate("Readings", "yes"),
        "no": formatter.translate("Readings", "no"),
    }.get(reading.value, _rounded_time(reading.value, formatter))
    return ReadingLabel(
        name,
        value,
        formatter.translate("Readings", "read from {source}").format(source=reading.source),
        is_known=True,
    )


def work_labels(
    work: WorkView | None, cores: int, formatter: LocaleFormatter
) -> list[ReadingLabel]:
    """What training may take now, and what it takes while it runs."""
    if work is None:
        return []
    rows = [
        (
            formatter.translate("Readings", "Training may take"),
            work.limit_percent,
            formatter.translate("Readings", "your limits"),
        )
    ]
    if work.measured_percent is not None:
        still, minute = (
            formatter.translate("Readings", "standing still"),
            formatter.translate("Readings", "in the last minute, read from the kernel"),
        )
        note = still if work.suspended else minute
        rows.append(
            (formatter.translate("Readings", "Training takes"), round(work.measured_percent), note)
        )
    return [
        ReadingLabel(name, share_label(percent, cores, formatter), note, is_known=True)
        for name, percent, note in rows
    ]


def unknown_readings(readings: Sequence[ReadingLabel], formatter: LocaleFormatter) -> str:
    """Name everything that is unknown here in one line; empty when everything is known."""
    missing = ", ".join(reading.name.lower() for reading in readings if not reading.is_known)
    if not missing:
        return ""
    return formatter.translate("Readings", "Unknown on this computer: {names}.").format(
        names=missing
    )


def share_label(percent_of_core: float, cores: int, formatter: LocaleFormatter) -> str:
    """A processor share in both units that people compare: of one core, of this computer."""
    whole = percent_of_core / cores
    return formatter.translate("View", "{core} % of one core = {whole} % of this computer").format(
        core=formatter.number(percent_of_core, 0),
        whole=formatter.number(whole, 1 if whole < 10 else 0),
    )


def _rounded_time(value: str, formatter: LocaleFormatter) -> str:
    """Round seconds down to minutes or hours; return any other value unchanged."""
    number, _, unit = value.rpartition(" ")
    if unit != "s" or not number.isdecimal() or int(number) < MINUTE_S:
        return value
    if int(number) < 2 * HOUR_S:
        return formatter.translate("Readings", "{count} min").format(count=int(number) // MINUTE_S)
    return formatter.translate("Readings", "{count} h").format(count=int(number) // HOUR_S)


def _without_error_name(source: str) -> str:
    """Cut the class name of the agent's exception off a reason such as "no bus: OSError"."""
    reason, _, error = source.rpartition(": ")
    return reason if error.endswith("Error") and reason else source


def _names(formatter: LocaleFormatter) -> dict[str, str]:
    return {
        "on mains": formatter.translate("Readings", "Plugged in"),
        "charge": formatter.translate("Readings", "Battery charge"),
        "others cpu": formatter.translate("Readings", "Load of other programs"),
        "memory free": formatter.translate("Readings", "Free memory"),
        "disk free": formatter.translate("Readings", "Free disk space"),
        "idle": formatter.translate("Readings", "Not used for"),
        "session active": formatter.translate("Readings", "You're at the keyboard"),
        "full screen": formatter.translate("Readings", "A program fills the screen"),
        "temperature": formatter.translate("Readings", "Temperature"),
        "metered": formatter.translate("Readings", "Metered network"),
        "online": formatter.translate("Readings", "Network"),
    }
