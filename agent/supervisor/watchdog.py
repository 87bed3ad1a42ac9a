"""Decides when a limit must end a worker, from what was measured and what is allowed. Pure."""

from dataclasses import dataclass
from enum import Enum

MAX_SUSPENDED_S = 120.0
"""A worker that is suspended this long writes a checkpoint and ends: it would only take memory."""
MEMORY_RESERVE_BYTES = 256 * 2**20
"""With less free memory than this in the whole computer, the worker ends before other programs
suffer."""


class Limit(Enum):
    MEMORY = "memory"
    RUNNING_TIME = "running time"
    WRITTEN = "bytes written"
    SUSPENDED = "time suspended"
    MACHINE_MEMORY = "free memory of the computer"


class Action(Enum):
    KILLED = "killed"
    ENDED = "asked to end"
    """With time for a checkpoint."""


@dataclass(frozen=True)
class Caps:
    """What a worker may take."""

    cpu_percent: int | None
    """1 to 100, per cent of one core. None: full speed, for work that a person waits for."""
    memory_bytes: int
    running_s: float = 3600.0
    """Elapsed time since its start, suspended or not."""
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
    suspended_s: float
    """How long it has been suspended on request; 0 while it is not."""
    rss_bytes: int
    written_bytes: int
    machine_available_bytes: int | None
    """None: unknown."""


@dataclass(frozen=True)
class StopEvent:
    """Why a limit ended a worker: the limit, the measured value, the cap, and the running time."""

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
    """Return the first limit that is exceeded, those that kill before those that give time."""

    def event(limit: Limit, value: float, cap: float, unit: str, action: Action) -> StopEvent:
        return StopEvent(limit, value, cap, unit, sample.running_s, action)

    def in_mib(limit: Limit, value: int, cap: int, action: Action) -> StopEvent:
        return event(limit, value / 2**20, cap / 2**20, "MiB", action)

    if sample.rss_bytes > caps.memory_bytes:
        return in_mib(Limit.MEMORY, sample.rss_bytes, caps.memory_bytes, Action.KILLED)
    if sample.written_bytes > caps.written_bytes:
        return in_mib(Limit.WRITTEN, sample.written_bytes, caps.written_bytes, Action.KILLED)
    if sample.running_s > caps.running_s:
        return event(Limit.RUNNING_TIME, sample.running_s, caps.running_s, "s", Action.ENDED)
    if sample.suspended_s > MAX_SUSPENDED_S:
        return event(Limit.SUSPENDED, sample.suspended_s, MAX_SUSPENDED_S, "s", Action.ENDED)
    available = sample.machine_available_bytes
    if available is not None and available < MEMORY_RESERVE_BYTES:
        return in_mib(Limit.MACHINE_MEMORY, available, MEMORY_RESERVE_BYTES, Action.ENDED)
    return None
