"""The person's settings as data: one list of definitions drives validation, help, windows, policy
templates and documentation.

A value's origin is "default", "you" (the person set it), "invitation" (proposed by it and shown in
the notice) or "policy" (the machine's policy made it stricter, or set it). Policy can only tighten:
each definition says in which direction that is; the proxy, which has no stricter side, it may set.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from agent.errors import UserActionError

Value = bool | int | float | str
Number = TypeVar("Number", int, float)
MINUTES_A_DAY = 24 * 60
MAX_HOURS_CHARACTERS = 10_000
"""Every second minute of a day, each a span of its own, takes 8,640."""
_PROXY = re.compile(r"http://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})")


class Kind(Enum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    CHOICE = "choice"
    HOURS = "hours"
    """"always", "never" or spans such as "09:00-17:00,22:00-06:00"; a span over midnight ends on
    the next day."""
    PROXY = "proxy"
    """"" or "http://host:port"."""


class Tighter(Enum):
    """In which direction a policy may move a value."""

    LOWER = "lower"
    HIGHER = "higher"
    FIRST = "first"
    """Of a choice: towards the first one."""
    OFF = "off"
    ON = "on"
    FEWER = "fewer"
    """Of hours: only what both allow."""
    SET = "set"
    """The policy's value holds, whatever it is."""
    NOT = "not"
    """Has no stricter side: the policy leaves it alone."""


@dataclass(frozen=True)
class Definition:
    key: str
    kind: Kind
    default: Value
    help: str
    tighter: Tighter
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SettingEntry:
    """A setting as it holds now."""

    definition: Definition
    value: Value
    origin: str
    """"default", "you", "invitation" or "policy"."""
    bound: Value | None = None
    """What the policy allows at most, where it says anything."""

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
            "help": d.help,
        }


def _hours(day: str) -> Definition:
    text = (
        f"When AegisAI may train on a {day}: always, never, or spans of local time such as"
        " 09:00-17:00,22:00-06:00."
    )
    return Definition(f"hours.{day.lower()}", Kind.HOURS, "always", text, Tighter.FEWER)


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PER_CORE = "% of one core"

DEFINITIONS = (
    Definition(
        "cpu.share_in_use",
        Kind.INTEGER,
        10,
        "Processor time that training may take while you use the computer.",
        Tighter.LOWER,
        _PER_CORE,
        1,
        100,
    ),
    Definition(
        "cpu.share_idle",
        Kind.INTEGER,
        50,
        "Processor time that training may take while the computer is idle.",
        Tighter.LOWER,
        _PER_CORE,
        1,
        100,
    ),
    Definition(
        "memory.limit_mib",
        Kind.INTEGER,
        512,
        "Most memory that training may take.",
        Tighter.LOWER,
        "MiB",
        256,
        8192,
    ),
    Definition(
        "battery.rule",
        Kind.CHOICE,
        "never",
        "Train on battery: never, above the thresholds below, or always.",
        Tighter.FIRST,
        choices=("never", "above", "always"),
    ),
    Definition(
        "battery.stop_below",
        Kind.INTEGER,
        40,
        "With rule above: stop training below this charge.",
        Tighter.HIGHER,
        "%",
        5,
        95,
    ),
    Definition(
        "battery.start_above",
        Kind.INTEGER,
        60,
        "With rule above: start again above this charge.",
        Tighter.HIGHER,
        "%",
        10,
        100,
    ),
    Definition(
        "idle.only",
        Kind.BOOLEAN,
        False,
        "Train only while nobody uses the keyboard or mouse.",
        Tighter.ON,
    ),
    Definition(
        "idle.minutes",
        Kind.INTEGER,
        5,
        "No keyboard or mouse for this long means idle.",
        Tighter.HIGHER,
        "min",
        1,
        240,
    ),
    Definition(
        "busy.share",
        Kind.INTEGER,
        50,
        "Wait while other programs take more than this share of the whole computer.",
        Tighter.LOWER,
        "% of this computer",
        5,
        100,
    ),
    Definition(
        "temperature.stop_c",
        Kind.INTEGER,
        85,
        "Stop training above this temperature, where a sensor tells it.",
        Tighter.LOWER,
        "°C",
        40,
        110,
    ),
    *(_hours(day) for day in _WEEKDAYS),
    Definition(
        "network.metered",
        Kind.CHOICE,
        "never",
        "Send over a metered network: never or always.",
        Tighter.FIRST,
        choices=("never", "always"),
    ),
    Definition(
        "network.bytes_per_day",
        Kind.INTEGER,
        20_000_000,
        "Most bytes of updates sent in 24 hours.",
        Tighter.LOWER,
        "bytes",
        100_000,
        1_000_000_000,
    ),
    Definition(
        "network.proxy",
        Kind.PROXY,
        "",
        "HTTP proxy on the way to the server, such as http://proxy.example:3128; empty for none."
        " Proxies of the environment are not used.",
        Tighter.SET,
    ),
    Definition(
        "hold.minutes",
        Kind.INTEGER,
        10,
        "A finished update waits this long before it is sent, so that you can discard it.",
        Tighter.HIGHER,
        "min",
        0,
        1440,
    ),
    Definition(
        "models.update_without_consent",
        Kind.BOOLEAN,
        False,
        "Fetch newer models for scanning although you do not contribute.",
        Tighter.OFF,
    ),
    Definition(
        "consent.refresh_months",
        Kind.INTEGER,
        12,
        "Ask for your consent again after this time.",
        Tighter.LOWER,
        "months",
        1,
        24,
    ),
    Definition(
        "budget.epsilon",
        Kind.NUMBER,
        1.0,
        "Privacy budget ε of one period. A change counts once you have agreed to the notice that"
        " names it.",
        Tighter.LOWER,
        "ε",
        0.05,
        10.0,
    ),
    Definition(
        "budget.delta",
        Kind.NUMBER,
        1e-5,
        "δ of the privacy budget.",
        Tighter.LOWER,
        "δ",
        1e-12,
        1e-3,
    ),
    Definition(
        "budget.period_days",
        Kind.INTEGER,
        365,
        "Length of a budget period.",
        Tighter.HIGHER,
        "days",
        30,
        3650,
    ),
    Definition(
        "budget.lifetime_epsilon",
        Kind.NUMBER,
        3.0,
        "Ceiling of ε over this device's whole life.",
        Tighter.LOWER,
        "ε",
        0.05,
        50.0,
    ),
    Definition(
        "key_store",
        Kind.CHOICE,
        "os",
        "Where the key of this device is kept: the keyring of your login, a systemd credential, or"
        " a file under a passphrase.",
        Tighter.NOT,
        choices=("os", "credential", "passphrase"),
    ),
    Definition(
        "tray.keep_icon",
        Kind.BOOLEAN,
        False,
        "Keep the icon although you do not take part.",
        Tighter.NOT,
    ),
)

BY_KEY = {definition.key: definition for definition in DEFINITIONS}


class Settings:
    """All settings as they hold now. A frozen view: make a new one after a change."""

    def __init__(
        self,
        chosen: Mapping[str, Value],
        bounds: Mapping[str, Value],
        proposed: Mapping[str, Value] | None = None,
    ) -> None:
        """`chosen` by the person, `bounds` from the machine's policy, `proposed` by the invitation;
        all checked before.
        """
        self._entries = {d.key: _entry(d, chosen, proposed or {}, bounds) for d in DEFINITIONS}

    def value(self, key: str) -> Value:
        """The value that holds. Raises UserActionError UNKNOWN_SETTING."""
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
        """Raises UserActionError UNKNOWN_SETTING."""
        definition(key)
        return self._entries[key]

    def all(self) -> tuple[SettingEntry, ...]:
        return tuple(self._entries.values())

    def check_change(self, key: str, raw: object) -> Value:
        """The value that the person may set.

        Raises UserActionError UNKNOWN_SETTING, BAD_VALUE, MANAGED.
        """
        wanted = parse(key, raw)
        entry = self.entry(key)
        if entry.bound is not None and tightened(entry.definition, wanted, entry.bound) != wanted:
            allowed = "none" if entry.bound == "" else entry.bound
            raise UserActionError(
                "MANAGED",
                f"{key} is managed by your organisation, which allows {allowed}.",
                "Ask your IT, or choose a stricter value.",
            )
        return wanted


def definition(key: str) -> Definition:
    """Raises UserActionError UNKNOWN_SETTING."""
    found = BY_KEY.get(key)
    if found is None:
        raise UserActionError(
            "UNKNOWN_SETTING",
            f"There is no setting {key[:80]!r}.",
            "aegis settings get lists them all.",
        )
    return found


def parse(key: str, raw: object) -> Value:
    """Check a value from a command line, a client, a file.

    Raises UserActionError UNKNOWN_SETTING, BAD_VALUE: expected and got.
    """
    d = definition(key)
    try:
        return _PARSERS[d.kind](d, raw)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        shown = str(raw)[:40]
        raise UserActionError(
            "BAD_VALUE", f"{key}: expected {_expected(d)}, got {shown!r}.", "Nothing was changed."
        ) from error


def tightened(d: Definition, value: Value, bound: Value) -> Value:
    """The stricter of two valid values."""
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
        case (
            Tighter.FEWER
        ):  # "always" bounds nothing, also not the part of a span that runs into the next day
            return (
                value
                if bound == "always"
                else format_hours(minutes_of(str(value)) & minutes_of(str(bound)))
            )
        case Tighter.SET:
            return bound
        case Tighter.NOT:
            return value


def minutes_of(text: str) -> frozenset[int]:
    """The minutes after midnight (0 to 2879) of hours text; spans over midnight run past 1440.

    Raises ValueError.
    """
    if text == "always":
        return frozenset(range(MINUTES_A_DAY))
    if text == "never":
        return frozenset()
    minutes: set[int] = set()
    for span in text.split(","):
        start, end = (_minute(part) for part in span.split("-"))
        if start == end:
            raise ValueError("an empty span")
        minutes.update(range(start, end if end > start else end + MINUTES_A_DAY))
    return frozenset(minutes)


def format_hours(minutes: Iterable[int]) -> str:
    """The text of a set of minutes."""
    held = sorted(minutes)
    if not held:
        return "never"
    if held == list(range(MINUTES_A_DAY)):
        return "always"
    starts = [m for m, before in zip(held, [-2, *held], strict=False) if m != before + 1]
    ends = [m + 1 for m, after in zip(held, [*held[1:], -2], strict=True) if after != m + 1]
    return ",".join(
        f"{_clock(start)}-{_clock(end)}" for start, end in zip(starts, ends, strict=True)
    )


def _entry(
    d: Definition,
    chosen: Mapping[str, Value],
    proposed: Mapping[str, Value],
    bounds: Mapping[str, Value],
) -> SettingEntry:
    value, origin = d.default, "default"
    if d.key in proposed:
        value, origin = proposed[d.key], "invitation"
    if d.key in chosen:
        value, origin = chosen[d.key], "you"
    bound = bounds.get(d.key)
    if bound is not None and d.tighter is not Tighter.NOT:
        strict = tightened(d, value, bound)
        if strict != value:
            value, origin = strict, "policy"
        return SettingEntry(d, value, origin, bound)
    return SettingEntry(d, value, origin)


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


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    if len(hours) > 2 or len(minutes) != 2 or not (hours + minutes).isdigit():
        raise ValueError
    value = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or value > MINUTES_A_DAY:
        raise ValueError
    return value


def _clock(minute: int) -> str:
    minute = minute if minute <= MINUTES_A_DAY else minute - MINUTES_A_DAY
    return f"{minute // 60:02d}:{minute % 60:02d}"
