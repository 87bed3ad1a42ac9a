"""When a worker must end, and which limit says so: a pure check of what was measured against what
is allowed.
"""

from dataclasses import dataclass
from enum import Enum

HELD_MAX_S = 120.0
"""A worker on hold this long writes a checkpoint and ends: it would only occupy memory."""
MEMORY_RESERVE_BYTES = 256 * 2**20
"""Less free memory than this in the whole computer: the worker goes first."""


class Limit(Enum):
    MEMORY = "memory"
    RUNNING_TIME = "running time"
    WRITTEN = "bytes written"
    HELD = "held back"
    MACHINE_MEMORY = "free memory of the computer"


class Action(Enum):
    KILLED = "killed"
    ENDED = "asked to end"
    """With time for a checkpoint."""


@dataclass(frozen=True)
class Caps:
    """What a worker may take."""

    cpu_percent: int | None
    """1 to 100, per cent of one core; None: not paced (work that a person waits for)."""
    memory_bytes: int
    running_s: float = 3600.0
    """Time on the clock from its start, on hold or not."""
    written_bytes: int = 2**30

    def __post_init__(self) -> None:
        if self.cpu_percent is not None and not 1 <= self.cpu_percent <= 100:
            raise ValueError(f"cpu_percent: expected 1 to 100, got {self.cpu_percent}")

    @property
    def share(self) -> float:
        return 1.0 if self.cpu_percent is None else self.cpu_percent / 100


@dataclass(frozen=True)
class Sample:
    """What was measured of a worker."""

    running_s: float
    held_s: float
    """0 while it is not on hold."""
    rss_bytes: int
    written_bytes: int
    machine_available_bytes: int | None
    """None: unknown."""


@dataclass(frozen=True)
class StopEvent:
    """Why a worker was stopped: which limit, what was measured, the cap, for how long it had
    run.
    """

    limit: Limit
    value: float
    cap: float
    unit: str
    after_s: float
    action: Action

    def __str__(self) -> str:
        return (
            f"The worker was {self.action.value} after {self.after_s:.0f} s: "
            f"{self.limit.value} {self.value:.0f} {self.unit}, limit {self.cap:.0f} {self.unit}."
        )


def check(sample: Sample, caps: Caps) -> StopEvent | None:
    """The first limit that is passed, the hard ones first."""

    def event(limit: Limit, value: float, cap: float, unit: str, action: Action) -> StopEvent:
        return StopEvent(limit, value, cap, unit, sample.running_s, action)

    if sample.rss_bytes > caps.memory_bytes:
        return event(
            Limit.MEMORY, sample.rss_bytes / 2**20, caps.memory_bytes / 2**20, "MiB", Action.KILLED
        )
    if sample.written_bytes > caps.written_bytes:
        return event(
            Limit.WRITTEN,
            sample.written_bytes / 2**20,
            caps.written_bytes / 2**20,
            "MiB",
            Action.KILLED,
        )
    if sample.running_s > caps.running_s:
        return event(Limit.RUNNING_TIME, sample.running_s, caps.running_s, "s", Action.ENDED)
    if sample.held_s > HELD_MAX_S:
        return event(Limit.HELD, sample.held_s, HELD_MAX_S, "s", Action.ENDED)
    available = sample.machine_available_bytes
    if available is not None and available < MEMORY_RESERVE_BYTES:
        return event(
            Limit.MACHINE_MEMORY,
            available / 2**20,
            MEMORY_RESERVE_BYTES / 2**20,
            "MiB",
            Action.ENDED,
        )
    return None
