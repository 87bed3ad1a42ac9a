"""How a cycle ends, and the update that it leaves: plain values."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from agent.reasons import Reason, ReasonCode


class Outcome(Enum):
    """How a pass ended. Part of the contract."""

    SENT = "sent"
    NO_ROUND = "no_round"
    READY = "ready"
    """A finished update waits for the moment at which a group meets."""
    ALREADY_CONTRIBUTED = "already_contributed"
    NOTHING_TO_LEARN = "nothing_to_learn"
    BUDGET_SPENT = "budget_spent"
    WAITING = "waiting"
    ROUND_CLOSED = "round_closed"
    STOPPED = "stopped"
    """Withdrawn, paused or quit in the middle."""


USER_RESOLVABLE = frozenset({Outcome.WAITING, Outcome.BUDGET_SPENT, Outcome.NOTHING_TO_LEARN})
"""A person can change what ended such a cycle: a pause, hold, limit, budget or missing rows."""


@dataclass(frozen=True)
class CycleResult:
    outcome: Outcome
    text: str
    reasons: tuple[Reason, ...] = ()
    round_id: int | None = None
    bytes_up: int = 0
    """Bodies of this pass that left the device."""
    bytes_down: int = 0
    """Of a model that was fetched and of a group's messages."""
    rows_used: int = 0
    next_poll_s: int | None = None
    """What the server asked for."""
    may_take_part_at: int | None = None

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
    """A clipped update that waits, encrypted, in scratch."""

    scratch: Path
    job_key: bytes = field(repr=False)
    model_version: int
    model_digest: str
    rows_used: int
    at: int


def waiting(reasons: tuple[Reason, ...]) -> CycleResult:
    return CycleResult(Outcome.WAITING, reasons[0].text, reasons)


def capped(text: str, until: int | None, setting: str = "") -> CycleResult:
    """One of the device's own caps is reached."""
    return waiting((Reason(ReasonCode.BACKOFF, text, setting=setting, until=until),))


def already_contributed(round_id: int) -> CycleResult:
    return CycleResult(
        Outcome.ALREADY_CONTRIBUTED,
        "This device has taken part in this round.",
        round_id=round_id,
    )
