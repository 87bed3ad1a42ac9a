"""The settings that hold: each value, where it comes from, and how far the person may change it.

A value's origin is "default", "you" (the person set it), "invitation" (the invitation proposed it
and the notice shows it) or "policy" (the machine's policy made it stricter, or set it). Policy can
only tighten; each definition names the direction. The proxy has no stricter side: policy sets it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.config.definitions import (
    BY_KEY,
    DEFINITIONS,
    HOURS_KEYS,
    Definition,
    Kind,
    Tighter,
    Value,
    definition,
)
from agent.config.hours_text import format_hours, minutes_of, within
from agent.errors import UserActionError

Number = TypeVar("Number", int, float)
MAX_HOURS_CHARACTERS = 10_000
"""Every second minute of a day as a span of its own takes 8,640."""
_PROXY = re.compile(r"http://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class SettingEntry:
    """One setting: the value that holds, and why."""

    definition: Definition
    value: Value
    origin: str
    """"default", "you", "invitation" or "policy"."""
    bound: Value | None = None
    """The loosest value that the policy allows; None where it says nothing."""
    verdict: str = ""
    """What became of the policy's bound: "applied", "looser", or empty without one."""

    def to_json(self) -> dict[str, Any]:
        d = self.definition
        return {
            "key": d.key,
            "value": self.value,
            "type": d.kind.value,
            "unit": d.unit,
            "default": d.default,
            "minimum": d.minimum,
            "maximum": d.maximum,
            "choices": list(d.choices),
            "origin": self.origin,
            "bound": self.bound,
            "verdict": self.verdict,
            "help": d.help,
        }


class Settings:
    """All settings as they hold now. It does not follow later changes: make a new one."""

    def __init__(
        self,
        chosen: Mapping[str, Value],
        bounds: Mapping[str, Value],
        proposed: Mapping[str, Value] | None = None,
    ) -> None:
        """Combine what the person has `chosen`, the `bounds` of the machine's policy and what the
        invitation has `proposed`. All values have passed `parse`.
        """
        self._bounds = {
            key: bound for key, bound in bounds.items() if BY_KEY[key].tighter is not Tighter.NOT
        }
        defaults = {d.key: d.default for d in DEFINITIONS}
        self._proposed = {**defaults, **(proposed or {})}
        self._wanted = {**self._proposed, **chosen}
        self._origins = {
            **dict.fromkeys(defaults, "default"),
            **dict.fromkeys(proposed or {}, "invitation"),
            **dict.fromkeys(chosen, "you"),
        }
        self._entries = {
            key: self._entry(key, value)
            for key, value in tightened(self._wanted, self._bounds).items()
        }

    def value(self, key: str) -> Value:
        """Return the value that holds. Raises UserActionError UNKNOWN_SETTING."""
        return self.entry(key).value

    def integer(self, key: str) -> int:
        return int(self.value(key))

    def number(self, key: str) -> float:
        return float(self.value(key))

    def flag(self, key: str) -> bool:
        return bool(self.value(key))

    def text(self, key: str) -> str:
        return str(self.value(key))

    def entry(self, key: str) -> SettingEntry:
        """Return one setting. Raises UserActionError UNKNOWN_SETTING."""
        definition(key)
        return self._entries[key]

    def all(self) -> tuple[SettingEntry, ...]:
        return tuple(self._entries.values())

    def check_change(self, key: str, raw: object) -> Value:
        """Return the value to store for a change that the person asks for.

        Raises UserActionError UNKNOWN_SETTING, BAD_VALUE, MANAGED.
        """
        wanted = parse(key, raw)
        bound = self.entry(key).bound
        if (
            bound is not None
            and tightened({**self._wanted, key: wanted}, self._bounds)[key] != wanted
        ):
            allowed = "none" if bound == "" else bound
            raise UserActionError(
                "MANAGED",
                f"Your organisation manages {key} and allows {allowed}.",
                "Ask your IT, or choose a stricter value.",
            )
        return wanted

    def why_refused(self, key: str) -> str:
        """Return, as a clause, why a bound with the verdict "looser" is refused."""
        d, entry = BY_KEY[key], self._entries[key]
        ceiling = "" if entry.bound == _loosest(d) else "; nobody may choose a looser one"
        return (
            "refused, because a policy can only tighten: the stricter"
            f" {_shown(entry.value)} holds ({entry.origin}){ceiling}"
        )

    def _entry(self, key: str, value: Value) -> SettingEntry:
        origin = self._origins[key] if value == self._wanted[key] else "policy"
        bound = self._bounds.get(key)
        if bound is None:
            return SettingEntry(BY_KEY[key], value, origin)
        is_refused = origin != "policy" and self._is_looser(BY_KEY[key], bound)
        return SettingEntry(
            BY_KEY[key], value, origin, bound, "looser" if is_refused else "applied"
        )

    def _is_looser(self, d: Definition, bound: Value) -> bool:
        """Whether `bound` is looser than what holds without policy and person."""
        if d.tighter is Tighter.SET:
            return False
        if bound == _loosest(d):
            return True
        return (
            d.tighter is not Tighter.FEWER and _stricter(d, self._proposed[d.key], bound) != bound
        )


def parse(key: str, raw: object) -> Value:
    """Return the value that a command line, a client or a policy file means by `raw`.

    Raises UserActionError UNKNOWN_SETTING, BAD_VALUE.
    """
    d = definition(key)
    try:
        return _PARSERS[d.kind](d, raw)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        shown = str(raw)[:40]
        raise UserActionError(
            "BAD_VALUE", f"{key}: expected {_expected(d)}, got {shown!r}.", "Nothing was changed."
        ) from error


def strictest(key: str) -> Value:
    """Return the strictest value of a setting; its default where no direction is stricter."""
    d = definition(key)
    by_direction: dict[Tighter, Value | None] = {
        Tighter.LOWER: d.minimum,
        Tighter.HIGHER: d.maximum,
        Tighter.FIRST: d.choices[0] if d.choices else None,
        Tighter.OFF: False,
        Tighter.ON: True,
        Tighter.FEWER: "never",
    }
    value = by_direction.get(d.tighter)
    return d.default if value is None else parse(key, value)


def tightened(values: Mapping[str, Value], bounds: Mapping[str, Value]) -> dict[str, Value]:
    """Return all values, each at least as strict as its bound."""
    holds = {
        key: _stricter(BY_KEY[key], value, bounds[key]) if key in bounds else value
        for key, value in values.items()
    }
    if not bounds.keys().isdisjoint(HOURS_KEYS):
        # A span over midnight reaches into the next day, so hours are compared as a whole week.
        week = tuple(str(values[key]) for key in HOURS_KEYS)
        allowed = tuple(str(bounds.get(key, "always")) for key in HOURS_KEYS)
        holds.update(zip(HOURS_KEYS, within(week, allowed), strict=True))
    return holds


def _stricter(d: Definition, value: Value, bound: Value) -> Value:
    """Return the stricter of two valid values of one setting."""
    match d.tighter:
        case Tighter.LOWER:
            return min(value, bound, key=float)
        case Tighter.HIGHER:
            return max(value, bound, key=float)
        case Tighter.FIRST:
            return min(value, bound, key=lambda item: d.choices.index(str(item)))
        case Tighter.OFF:
            return bool(value) and bool(bound)
        case Tighter.ON:
            return bool(value) or bool(bound)
        case Tighter.SET:
            return bound
        case Tighter.FEWER | Tighter.NOT:
            return value


def _loosest(d: Definition) -> Value | None:
    """Return the value that allows everything; None where there is none."""
    match d.tighter:
        case Tighter.LOWER:
            return d.maximum
        case Tighter.HIGHER:
            return d.minimum
        case Tighter.FIRST:
            return d.choices[-1]
        case Tighter.OFF:
            return True
        case Tighter.ON:
            return False
        case Tighter.FEWER:
            return "always"
        case Tighter.SET | Tighter.NOT:
            return None


def _shown(value: Value) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else f"{value}"


def _boolean(_: Definition, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    return {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}[
        str(raw).lower()
    ]


def _integer(d: Definition, raw: object) -> int:
    if isinstance(raw, bool | float):
        raise TypeError
    return _within(d, int(str(raw)[:20]))


def _number(d: Definition, raw: object) -> float:
    if isinstance(raw, bool):
        raise TypeError
    return _within(d, float(str(raw)[:40]))


def _choice(d: Definition, raw: object) -> str:
    if raw not in d.choices:
        raise ValueError
    return str(raw)


def _hours_text(_: Definition, raw: object) -> str:
    text = str(raw)
    if len(text) > MAX_HOURS_CHARACTERS:
        raise ValueError
    return format_hours(minutes_of(text.replace(" ", "").lower()))


def _proxy(_: Definition, raw: object) -> str:
    text = str(raw)
    found = _PROXY.fullmatch(text)
    if text and (found is None or not 0 < int(found["port"]) < 65536):
        raise ValueError
    return text


def _within(d: Definition, value: Number) -> Number:
    if d.minimum is None or d.maximum is None or not d.minimum <= value <= d.maximum:
        raise ValueError
    return value


_PARSERS: dict[Kind, Callable[[Definition, object], Value]] = {
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.CHOICE: _choice,
    Kind.HOURS: _hours_text,
    Kind.PROXY: _proxy,
}


def _expected(d: Definition) -> str:
    match d.kind:
        case Kind.BOOLEAN:
            return "on or off"
        case Kind.CHOICE:
            return " or ".join(d.choices)
        case Kind.HOURS:
            return "always, never, or spans such as 09:00-17:00,22:00-06:00"
        case Kind.PROXY:
            return "nothing, or http://host:port"
        case Kind.INTEGER | Kind.NUMBER:
            return f"{d.minimum} to {d.maximum} {d.unit}".strip()
