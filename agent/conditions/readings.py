"""Readings of the machine's state, each with a value or unknown, and with its unit and source."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=bool | float | str)


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One reading. An unknown one has the value None, and `source` says why it is unknown."""

    value: T | None
    source: str
    unit: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return "unknown"
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        text = self.value if isinstance(self.value, str) else f"{self.value:.0f}"
        return f"{text} {self.unit}".strip()


Snapshot = dict[str, Reading[Any]]
"""Readings by their field names in `Readings`, each of that field's type."""


def unknown(why: str) -> Reading[T]:
    """Return an unknown reading; `why` becomes its source."""
    return Reading(None, why)


def attempt(read: Callable[[], Reading[T]], name: str) -> Reading[T]:
    """Return what `read` returns. A probe that fails gives an unknown reading with its reason."""
    try:
        return read()
    # Drivers, missing files and odd systems raise anything; one probe must not stop the others.
    except Exception as error:
        return unknown(f"{name}: {type(error).__name__}: {error}"[:160])


_NOT_READ = "not read yet"


@dataclass(frozen=True)
class Readings:
    """The last value of every reading."""

    on_mains: Reading[bool] = Reading(None, _NOT_READ)
    charge: Reading[float] = Reading(None, _NOT_READ, "%")
    """Of all the computer's batteries together."""
    others_cpu: Reading[float] = Reading(None, _NOT_READ, "%")
    """The load by other programs, in per cent of the whole computer."""
    memory_free: Reading[float] = Reading(None, _NOT_READ, "MiB")
    disk_free: Reading[float] = Reading(None, _NOT_READ, "MiB")
    idle: Reading[float] = Reading(None, _NOT_READ, "s")
    """Since the last key press or mouse movement."""
    session_active: Reading[bool] = Reading(None, _NOT_READ)
    """Whether this person's session is in the foreground."""
    full_screen: Reading[bool] = Reading(None, _NOT_READ)
    temperature: Reading[float] = Reading(None, _NOT_READ, "°C")
    metered: Reading[bool] = Reading(None, _NOT_READ)
    online: Reading[bool] = Reading(None, _NOT_READ)

    def named(self) -> tuple[tuple[str, Reading[bool] | Reading[float]], ...]:
        """Return each reading with its name in words, in order."""
        return tuple(
            (field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)
        )
