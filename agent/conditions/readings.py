"""What was read about the machine: each a value or unknown, with its unit, its source, and why it
is unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

T = TypeVar("T", bound=bool | float | str)


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One reading. `value` is None when it is unknown; then `source` says why."""

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


Told = dict[str, Reading[Any]]
"""Readings by the names of `Readings`; each is of the type that the field there has."""


def unknown(why: str) -> Reading[T]:
    """A reading that could not be made."""
    return Reading(None, why)


def attempt(read: Callable[[], Reading[T]], name: str) -> Reading[T]:
    """What `read` gives; a probe that fails is unknown and says why, it never stops the others."""
    try:
        return read()
    # a probe meets drivers, missing files and odd systems; whatever it raises is an unknown reading
    except Exception as error:
        return unknown(f"{name}: {type(error).__name__}: {error}"[:160])


_NOT_READ = "not read yet"


@dataclass(frozen=True)
class Readings:
    """All of them, as they were read last."""

    on_mains: Reading[bool] = Reading(None, _NOT_READ)
    charge: Reading[float] = Reading(None, _NOT_READ, "%")
    """Of all batteries of the computer together."""
    others_cpu: Reading[float] = Reading(None, _NOT_READ, "%")
    """Load by other programs, per cent of this computer."""
    memory_free: Reading[float] = Reading(None, _NOT_READ, "MiB")
    disk_free: Reading[float] = Reading(None, _NOT_READ, "MiB")
    idle: Reading[float] = Reading(None, _NOT_READ, "s")
    """Since the last key or mouse movement."""
    session_active: Reading[bool] = Reading(None, _NOT_READ)
    """Whether this person's session is the one in front."""
    full_screen: Reading[bool] = Reading(None, _NOT_READ)
    temperature: Reading[float] = Reading(None, _NOT_READ, "°C")
    metered: Reading[bool] = Reading(None, _NOT_READ)
    online: Reading[bool] = Reading(None, _NOT_READ)

    def named(self) -> tuple[tuple[str, Reading[bool] | Reading[float]], ...]:
        """Each with its name in words, in order."""
        return tuple(
            (field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)
        )
