"""Every setting as data: this list drives validation, help, windows, policy templates and docs."""

from dataclasses import dataclass
from enum import Enum

from agent.errors import UserActionError

Value = bool | int | float | str


class Kind(Enum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    CHOICE = "choice"
    HOURS = "hours"
    """"always", "never" or spans such as "09:00-17:00,22:00-06:00" (agent.config.hours_text)."""
    PROXY = "proxy"
    """"" or "http://host:port"."""


class Tighter(Enum):
    """The direction in which a policy may move a value."""

    LOWER = "lower"
    HIGHER = "higher"
    FIRST = "first"
    """Choices: towards the first one."""
    OFF = "off"
    ON = "on"
    FEWER = "fewer"
    """Hours: only what both allow."""
    SET = "set"
    """The policy sets the value."""
    NOT = "not"
    """The policy cannot manage it."""


@dataclass(frozen=True)
class Definition:
    """What one setting means and which values it takes."""

    key: str
    kind: Kind
    default: Value
    help: str
    tighter: Tighter
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def _hours(day: str) -> Definition:
    text = (
        f"When AegisAI may train on {day}s: always, never, or local times such as"
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
        "How much processor time training may use while you are at the computer.",
        Tighter.LOWER,
        _PER_CORE,
        1,
        100,
    ),
    Definition(
        "cpu.share_idle",
        Kind.INTEGER,
        50,
        "How much processor time training may use while the computer is idle.",
        Tighter.LOWER,
        _PER_CORE,
        1,
        100,
    ),
    Definition(
        "memory.limit_mib",
        Kind.INTEGER,
        512,
        "How much memory training may use.",
        Tighter.LOWER,
        "MiB",
        256,
        8192,
    ),
    Definition(
        "battery.rule",
        Kind.CHOICE,
        "never",
        "Whether to train on battery power: never, above the thresholds below, or always.",
        Tighter.FIRST,
        choices=("never", "above", "always"),
    ),
    Definition(
        "battery.stop_below",
        Kind.INTEGER,
        40,
        'With battery.rule "above": stop training when the charge falls below this.',
        Tighter.HIGHER,
        "%",
        5,
        95,
    ),
    Definition(
        "battery.start_above",
        Kind.INTEGER,
        60,
        'With battery.rule "above": start again when the charge rises above this.',
        Tighter.HIGHER,
        "%",
        10,
        100,
    ),
    Definition(
        "idle.only",
        Kind.BOOLEAN,
        False,
        "Train only while the keyboard and mouse are idle.",
        Tighter.ON,
    ),
    Definition(
        "idle.minutes",
        Kind.INTEGER,
        5,
        "The computer counts as idle after this long without keyboard or mouse input.",
        Tighter.HIGHER,
        "min",
        1,
        240,
    ),
    Definition(
        "busy.share",
        Kind.INTEGER,
        50,
        "Wait while other programs use more than this share of the whole computer.",
        Tighter.LOWER,
        "% of this computer",
        5,
        100,
    ),
    Definition(
        "temperature.stop_c",
        Kind.INTEGER,
        85,
        "Stop training above this temperature, if the computer has a sensor.",
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
        "Whether to send over a metered network: never or always.",
        Tighter.FIRST,
        choices=("never", "always"),
    ),
    Definition(
        "network.bytes_per_day",
        Kind.INTEGER,
        20_000_000,
        "Send no further update once this many bytes of updates were sent in 24 hours.",
        Tighter.LOWER,
        "bytes",
        100_000,
        1_000_000_000,
    ),
    Definition(
        "network.proxy",
        Kind.PROXY,
        "",
        "HTTP proxy for reaching the server, such as http://proxy.example:3128; empty for none."
        " Proxy variables of the environment are ignored.",
        Tighter.SET,
    ),
    Definition(
        "hold.minutes",
        Kind.INTEGER,
        10,
        "How long a finished update waits before it is sent, so that you can discard it.",
        Tighter.HIGHER,
        "min",
        0,
        1440,
    ),
    Definition(
        "sources.rows_per_day",
        Kind.INTEGER,
        200,
        "The most new rows a day from sources that look for programs by themselves; 0 switches them"
        " all off.",
        Tighter.LOWER,
        "rows",
        0,
        5000,
    ),
    Definition(
        "sources.keep_days",
        Kind.INTEGER,
        90,
        "How long rows from sources that look by themselves are kept.",
        Tighter.LOWER,
        "days",
        1,
        365,
    ),
    Definition(
        "models.update_without_consent",
        Kind.BOOLEAN,
        False,
        "Fetch newer models for scanning even if you do not contribute.",
        Tighter.OFF,
    ),
    Definition(
        "consent.refresh_months",
        Kind.INTEGER,
        12,
        "How long your consent lasts before AegisAI asks again.",
        Tighter.LOWER,
        "months",
        1,
        24,
    ),
    Definition(
        "budget.epsilon",
        Kind.NUMBER,
        1.0,
        "Privacy budget ε for one period. A change takes effect once you agree to the notice that"
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
        "The highest total ε over this device's lifetime.",
        Tighter.LOWER,
        "ε",
        0.05,
        50.0,
    ),
    Definition(
        "key_store",
        Kind.CHOICE,
        "os",
        "Where this device keeps its key: the keyring of your login, a systemd credential, or a"
        " file protected by a passphrase.",
        Tighter.NOT,
        choices=("os", "credential", "passphrase"),
    ),
    Definition(
        "tray.keep_icon",
        Kind.BOOLEAN,
        False,
        "Keep the tray icon even if you do not take part.",
        Tighter.NOT,
    ),
)

BY_KEY = {definition.key: definition for definition in DEFINITIONS}
HOURS_KEYS = tuple(f"hours.{day.lower()}" for day in _WEEKDAYS)
"""Monday first."""


def definition(key: str) -> Definition:
    """Return the definition of a setting. Raises UserActionError UNKNOWN_SETTING."""
    found = BY_KEY.get(key)
    if found is None:
        raise UserActionError(
            "UNKNOWN_SETTING",
            f"There is no setting {key[:80]!r}.",
            "aegis settings get lists them all.",
        )
    return found
