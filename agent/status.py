"""The Status: the one value that every surface shows (tray, window, `aegis status`).

The agent builds it and sends it over the local channel as JSON; surfaces never change it. Times are
whole seconds since the epoch. ε values are not rounded; the surface rounds them with
`epsilon_in_words`.
"""

from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from agent import __version__
from agent.errors import PeerError
from agent.reasons import Reason, ReasonCode

STATUS_VERSION = 1
UNKNOWN = "unknown"


class AgentState(Enum):
    """The seven states of the tray icon; each has an icon and a word."""

    OFF = "off"
    """No consent: nothing runs."""
    WAITING = "waiting"
    TRAINING = "training"
    SENDING = "sending"
    PAUSED = "paused"
    ATTENTION = "attention"
    """Something needs the person: consent has expired, the keyring is locked or the identity is
    missing."""
    ERROR = "error"


class ConsentState(Enum):
    """The five states of the consent machine (docs/CONTRACT.md)."""

    UNASKED = "UNASKED"
    GRANTED = "GRANTED"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    STALE = "STALE"


@dataclass(frozen=True)
class ConsentView:
    """The state of consent."""

    state: ConsentState
    notice_id: str
    """The current notice."""
    decided_notice_id: str | None = None
    decided_at: int | None = None
    refresh_at: int | None = None
    """When consent expires."""


@dataclass(frozen=True)
class BudgetView:
    """The privacy budget. docs/CONTRACT.md defines the names of ε; each has one meaning."""

    epsilon_period: float
    delta: float
    period_days: int
    epsilon_ledger: float
    """What this device's ledger has charged in the current period."""
    epsilon_local: float | None
    """What the charges of the period would amount to if the protection of the sums failed. None:
    unknown, because the ledger cannot be read."""
    epsilon_lifetime: float
    epsilon_lifetime_ceiling: float
    epsilon_local_lifetime: float | None
    """The same as `epsilon_local`, over the device's whole life."""
    renews_at: int | None = None
    may_take_part_at: int | None = None
    """When the budget allows a round again; set while it is spent."""
    charges: int = 0
    verified: bool = False
    """This process has checked the ledger's seals with the key from the key store."""


@dataclass(frozen=True)
class ModelView:
    """The model in use."""

    version: int
    digest: str
    demonstration: bool


@dataclass(frozen=True)
class OperatorView:
    """Who asks for updates."""

    name: str
    contact: str
    server: str


@dataclass(frozen=True)
class PolicyLineView:
    """One line of the machine's policy and what became of it."""

    key: str
    value: str
    verdict: str
    """"applied", "looser", "unknown", "invalid" or "personal" (docs/CONTRACT.md)."""
    text: str


@dataclass(frozen=True)
class PolicyView:
    """The policy of this computer."""

    origin: str
    """Name of its file."""
    denied: str = ""
    """Why nobody takes part, or empty."""
    lines: tuple[PolicyLineView, ...] = ()


@dataclass(frozen=True)
class ReadingView:
    """One value measured on this computer, as text, and where it was measured."""

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class WorkView:
    """What training may use now, and what it uses."""

    limit_percent: int
    """Per cent of one core."""
    limit_text: str
    """The same in words, e.g. "25 % of one core = 3 % of this computer"."""
    memory_limit_mib: int
    measured_percent: float | None = None
    """Per cent of one core over the last minute, from the kernel; None while no training runs."""
    measured_text: str = ""
    memory_mib: float | None = None
    suspended: bool = False
    """A training is under way but suspended, for `reasons`."""


@dataclass(frozen=True)
class StopView:
    """The last time that a limit ended the worker: which limit, the value measured, the cap, and
    after how long.
    """

    at: int
    limit: str
    value: float
    cap: float
    unit: str
    after_s: float
    action: str
    """"killed" or "asked to end" (with time for a checkpoint)."""
    text: str
    """The same as one sentence."""


@dataclass(frozen=True)
class SentView:
    """What this device has sent so far."""

    count: int = 0
    bytes_up: int = 0
    last_at: int | None = None


@dataclass(frozen=True)
class SourceView:
    """A source of samples that has rows or is switched on."""

    source: str
    """Its name (agent.protocol.sources)."""
    rows: int
    on: bool
    """Whether it looks by itself; False for what a person adds."""


@dataclass(frozen=True)
class Status:
    """What the agent does, what it waits for, and what it has spent and sent."""

    state: AgentState
    consent: ConsentView
    budget: BudgetView
    model: ModelView
    enrolled: bool
    reasons: tuple[Reason, ...] = ()
    """Why it waits to train or send, the headline first."""
    operator: OperatorView | None = None
    paused_until: int | None = None
    """Set while paused; 0 means until resumed."""
    activity: str = ""
    """One sentence about what it is doing now, or empty."""
    progress: float | None = None
    """0 to 1 while it is doing something."""
    next_at: int | None = None
    """When the next cycle is due; None without consent."""
    readings: tuple[ReadingView, ...] = ()
    samples_benign: int = 0
    samples_malicious: int = 0
    sources: tuple[SourceView, ...] = ()
    sent: SentView = SentView()
    may_train: bool = True
    """Whether training may run now, apart from the wait for a round."""
    may_send: bool = True
    work: WorkView | None = None
    last_stop: StopView | None = None
    erase_pending: bool = False
    policy: PolicyView | None = None
    """None where this computer has no policy."""
    demo: bool = False
    """The demo made this home."""
    group_floor: str = ""
    """Empty, or in words the bounds on groups of a device that hides among fewer devices than the
    product demands: "test floor: groups of 3, sums of 3"."""
    notes: tuple[str, ...] = ()
    """Sentences that the person must see, e.g. about weaker bounds on groups."""
    app_version: str = __version__
    status_version: int = STATUS_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the form that docs/schemas/status.schema.json describes."""
        value: dict[str, Any] = _plain(asdict(self))
        for reason, entry in zip(self.reasons, value["reasons"], strict=True):
            entry["overridable"] = reason.overridable
        return value

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Status":
        """Return the Status that `to_json` wrote.

        Raises PeerError BAD_STATUS when a field is missing, unknown or of the wrong type.
        """
        try:
            known = {field.name for field in fields(Status)}
            if unknown := set(value) - known:
                raise ValueError(f"unknown fields {sorted(unknown)}")
            operator = value["operator"]
            return Status(
                **{
                    **value,
                    "state": AgentState(value["state"]),
                    "consent": ConsentView(
                        **{**value["consent"], "state": ConsentState(value["consent"]["state"])}
                    ),
                    "budget": BudgetView(**value["budget"]),
                    "model": ModelView(**value["model"]),
                    "operator": None if operator is None else OperatorView(**operator),
                    "reasons": tuple(
                        Reason(
                            **{
                                **{k: v for k, v in r.items() if k != "overridable"},
                                "code": ReasonCode(r["code"]),
                            }
                        )
                        for r in value["reasons"]
                    ),
                    "sources": tuple(SourceView(**one) for one in value["sources"]),
                    "readings": tuple(ReadingView(**r) for r in value["readings"]),
                    "sent": SentView(**value["sent"]),
                    "work": None if value["work"] is None else WorkView(**value["work"]),
                    "last_stop": (
                        None if value["last_stop"] is None else StopView(**value["last_stop"])
                    ),
                    "policy": _policy(value["policy"]),
                    "notes": tuple(value["notes"]),
                }
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PeerError(
                "BAD_STATUS",
                "The agent's status could not be read.",
                "Update both programs.",
                str(error),
            ) from error


def rounded_up(value: float, decimals: int) -> float:
    """Round a figure up to so many decimals, so that it promises no more than the exact one."""
    from decimal import ROUND_CEILING, Decimal

    # From the shortest decimal form: 1.1 stays 1.1, although its binary value is a little more.
    step = Decimal(1).scaleb(-decimals)
    return float(Decimal(repr(float(value))).quantize(step, ROUND_CEILING))


def epsilon_in_words(value: float | None) -> str:
    """Format ε with three digits, rounded up: "0.421", "1.24", "12.4"; None is "unknown".

    The one way in which ε is written for people: what is read from it is never below the figure.
    """
    if value is None:
        return UNKNOWN
    from decimal import ROUND_CEILING, Context

    digits = Context(prec=3, rounding=ROUND_CEILING).create_decimal(repr(float(value)))
    return f"{digits.normalize():f}"


def _policy(value: dict[str, Any] | None) -> PolicyView | None:
    if value is None:
        return None
    return PolicyView(
        **{**value, "lines": tuple(PolicyLineView(**line) for line in value["lines"])}
    )


def share_in_words(percent_of_core: float, cores: int) -> str:
    """Format a share of the processor: "25 % of one core = 3 % of this computer"."""
    return (
        f"{_short(percent_of_core)} % of one core = {_short(percent_of_core / cores)} % of this"
        " computer"
    )


def _short(percent: float) -> str:
    """Format whole per cent from 10 on and one decimal below: "12", "3.1", "3"."""
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.1f}".removesuffix(".0")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
