"""Keeps a record of running workers, so that none outlives a killed agent.

A worker's pid and start time are recorded after its start and removed after its end. At its next
start the agent kills whatever is still on record with the same start time; pids are reused. Where
the kernel kills children with their parent it never finds one.
"""

import logging
from contextlib import suppress
from pathlib import Path

import psutil

from agent.files import atomic_file
from agent.paths import RECORD_PREFIX
from agent.supervisor.tree import tree_of

log = logging.getLogger(__name__)

MAX_RECORD_BYTES = 200
_SAME_START_S = 0.05
"""The kernel counts start times in ticks of 10 ms, and the record rounds them to milliseconds."""


def record(folder: Path, pid: int) -> None:
    """Record a worker that has just started."""
    with suppress(psutil.Error, OSError):
        atomic_file.write(
            folder / f"{RECORD_PREFIX}{pid}", f"{psutil.Process(pid).create_time():.3f}".encode()
        )


def remove_record(folder: Path, pid: int) -> None:
    """Remove the record of a worker that has ended."""
    (folder / f"{RECORD_PREFIX}{pid}").unlink(missing_ok=True)


def reap(folder: Path) -> list[int]:
    """Kill the workers that an earlier agent left behind, and return their pids.

    Call it before the first worker starts.
    """
    reaped = []
    for path in sorted(folder.glob(f"{RECORD_PREFIX}*")):
        try:
            pid = int(path.name.removeprefix(RECORD_PREFIX))
            started = float(atomic_file.read(path, MAX_RECORD_BYTES))
            orphan = psutil.Process(pid)
            is_same = abs(orphan.create_time() - started) < _SAME_START_S
            if is_same and orphan.status() != psutil.STATUS_ZOMBIE:
                tree_of(pid).kill()
                reaped.append(pid)
        except (OSError, ValueError, psutil.Error):
            log.info("reaper.nothing_left record=%s", path.name)
        finally:
            path.unlink(missing_ok=True)
    return reaped
