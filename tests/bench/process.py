"""Reads what a running process costs from /proc: memory, processor time and wakeups."""

import time
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
PF_EXITING = 4
WAKEUP_FIELDS = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")


@dataclass(frozen=True)
class Usage:
    rss_mib: float
    pss_mib: float
    cpu_s: float
    """Of all its threads since it started."""
    wakeups: int
    """Context switches of all its threads since it started."""


@dataclass(frozen=True)
class Rate:
    """Between two readings."""

    cpu_share: float
    """Of one core."""
    wakeups_per_s: float


def usage(pid: int) -> Usage:
    """Read one process. Raises FileNotFoundError or ProcessLookupError once it has ended."""
    root = Path("/proc", str(pid))
    memory = _fields(root / "smaps_rollup")
    threads = list((root / "task").iterdir())
    cpu_ns = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    wakeups = sum(
        int(_fields(thread / "status")[name]) for thread in threads for name in WAKEUP_FIELDS
    )
    return Usage(_kib(memory["Rss"]) / 1024, _kib(memory["Pss"]) / 1024, cpu_ns / 1e9, wakeups)


def is_ending(pid: int) -> bool:
    """Return whether the kernel is taking the process down, so that it runs no more of its program
    (PF_EXITING in field 9 of stat, proc(5)).
    """
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return bool(int(fields[6]) & PF_EXITING)


def rate(pid: int, seconds: float) -> Rate:
    """Watch a process for `seconds`."""
    before, started = usage(pid), time.monotonic()
    time.sleep(seconds)
    after, took = usage(pid), time.monotonic() - started
    return Rate((after.cpu_s - before.cpu_s) / took, (after.wakeups - before.wakeups) / took)


def children(pid: int) -> list[int]:
    """Return the running descendants of a process."""
    own = [
        int(word)
        for task in Path("/proc", str(pid), "task").iterdir()
        for word in (task / "children").read_text().split()
    ]
    return own + [deeper for child in own for deeper in children(child)]


def _fields(path: Path) -> dict[str, str]:
    return dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)


def _kib(text: str) -> int:
    return int(text.split()[0])
