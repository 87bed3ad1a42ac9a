"""Why the agent waits, as data.

A reason carries what was measured, where, which setting lifts it, and whether the person may
override it once.
"""

from dataclasses import dataclass
from enum import Enum


class ReasonCode(Enum):
    """Every reason in order of precedence: the first that applies is the headline.

    The values are part of the contract (docs/CONTRACT.md).
    """

    NO_CONSENT = "NO_CONSENT"
    DENIED_BY_POLICY = "DENIED_BY_POLICY"
    USER_PAUSED = "USER_PAUSED"
    KEYRING_LOCKED = "KEYRING_LOCKED"
    KEYRING_ITEM_LOCKED = "KEYRING_ITEM_LOCKED"
    KEYRING_NO_DEFAULT = "KEYRING_NO_DEFAULT"
    KEYRING_ABSENT = "KEYRING_ABSENT"
    KEYRING_TIMEOUT = "KEYRING_TIMEOUT"
    KEYRING_DENIED = "KEYRING_DENIED"
    KEYRING_TOO_LARGE = "KEYRING_TOO_LARGE"
    KEY_STORE_CLOSED = "KEY_STORE_CLOSED"
    NOT_ENROLLED = "NOT_ENROLLED"
    LEDGER_FORKED = "LEDGER_FORKED"
    CYCLE_FAILED = "CYCLE_FAILED"
    BUDGET_SPENT = "BUDGET_SPENT"
    EXCLUDED = "EXCLUDED"
    MODEL_SPENT = "MODEL_SPENT"
    """One model has had its share of the budget; the person is asked."""
    DAY_SPENT = "DAY_SPENT"
    ROUND_TOO_EXPENSIVE = "ROUND_TOO_EXPENSIVE"
    ON_BATTERY = "ON_BATTERY"
    BATTERY_LOW = "BATTERY_LOW"
    HOT = "HOT"
    OTHER_SESSION = "OTHER_SESSION"
    FULL_SCREEN = "FULL_SCREEN"
    IN_USE = "IN_USE"
    IDLE_UNKNOWN = "IDLE_UNKNOWN"
    BUSY = "BUSY"
    OUTSIDE_HOURS = "OUTSIDE_HOURS"
    LOW_MEMORY = "LOW_MEMORY"
    LOW_DISK = "LOW_DISK"
    BACKOFF = "BACKOFF"
    NOTHING_TO_LEARN = "NOTHING_TO_LEARN"
    # Prevents only that files which nobody named are opened.
    SANDBOX_INCOMPLETE = "SANDBOX_INCOMPLETE"
    # The reasons below delay sending only.
    METERED = "METERED"
    OFFLINE = "OFFLINE"
    HOLD = "HOLD"
    NO_ROUND = "NO_ROUND"


OVERRIDABLE = frozenset(
    {
        ReasonCode.USER_PAUSED,
        ReasonCode.ON_BATTERY,
        ReasonCode.BATTERY_LOW,
        ReasonCode.FULL_SCREEN,
        ReasonCode.IN_USE,
        ReasonCode.IDLE_UNKNOWN,
        ReasonCode.BUSY,
        ReasonCode.OUTSIDE_HOURS,
    }
)
"""The person's own limits, which a cycle started by hand may override. It never overrides consent,
policy or budget."""


@dataclass(frozen=True)
class Reason:
    """One reason to wait."""

    code: ReasonCode
    text: str
    """One sentence for people."""
    reading: str = ""
    """What was measured, with its unit, e.g. "37 %"."""
    source: str = ""
    """Where it was measured, e.g. "UPower"."""
    setting: str = ""
    """The key of the setting that lifts it, or empty."""
    until: int | None = None
    """When it ends by itself, in seconds since the epoch, where known."""
    at: int | None = None
    """When the cycle ended that found it; None for what holds now."""

    @property
    def overridable(self) -> bool:
        """Whether a cycle started by hand may ignore it."""
        return self.code in OVERRIDABLE
