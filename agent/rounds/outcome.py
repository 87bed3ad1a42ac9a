"""Says how a cycle ended and what update it left, as plain values."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from agent.reasons import Reason, ReasonCode


class Outcome(Enum):
    """How a cycle ended. The values are part of the contract."""

    SENT = "sent"
    NO_ROUND = "no_round"
    READY = "ready"
    """A finished update waits for its group to form."""
    ALREADY_CONTRIBUTED = "already_contributed"
    NOTHING_TO_LEARN = "nothing_to_learn"
    BUDGET_SPENT = "budget_spent"
    WAITING = "waiting"
    ROUND_CLOSED = "round_closed"
    STOPPED = "stopped"
    """A withdrawal, a pause or the program's end stopped it."""


USER_RESOLVABLE = frozenset({Outcome.WAITING, Outcome.BUDGET_SPENT, Outcome.NOTHING_TO_LEARN})
"""A person can change what ended such a cycle: a pause, hold, limit, budget or missing rows."""


@dataclass(frozen=True)
class CycleResult:
    outcome: Outcome
    text: str
    reasons: tuple[Reason, ...] = ()
    round_id: int | None = None
    bytes_up: int = 0
    """Bodies that this cycle sent."""
    bytes_down: int = 0
    """A model and a group's messages that this cycle received."""
    rows_used: int = 0
    next_poll_s: int | None = None
    """When to poll next, as the server asked."""
    may_take_part_at: int | None = None
    """When the budget pays for a round again; seconds since the epoch."""

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "text": self.text,
            "reasons": [reason.code.value for reason in self.reasons],
            "round_id": self.round_id,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "rows_used": self.rows_used,
            "may_take_part_at": self.may_take_part_at,
        }


@dataclass(frozen=True)
class TrainedUpdate:
    """A clipped update, encrypted in scratch."""

    scratch: Path
    job_key: bytes = field(repr=False)
    model_version: int
    model_digest: str
    rows_used: int
    begun_at: int
    """When the cycle began to train it, soon after the server's offer; seconds since the epoch."""
    at: int
    """When it was finished."""


def waiting(reasons: tuple[Reason, ...]) -> CycleResult:
    """The cycle waits for `reasons`, at least one; the first is the headline."""
    return CycleResult(Outcome.WAITING, reasons[0].text, reasons)


def capped(text: str, until: int | None, setting: str = "") -> CycleResult:
    """The device waits because it has reached one of its own caps."""
    return waiting((Reason(ReasonCode.BACKOFF, text, setting=setting, until=until),))


def already_contributed(round_id: int) -> CycleResult:
    return CycleResult(
        Outcome.ALREADY_CONTRIBUTED,
        "This device has already taken part in this round.",
        round_id=round_id,
    )
