"""Workers on record: none outlives a killed agent.

A worker's pid and start time are written down after its start and struck off after its end. At the
next start whatever is still on record, with the same start time (pids are reused), is killed. Where
the kernel kills children with their parent nothing is ever found.
"""

import logging
from contextlib import suppress
from pathlib import Path

import psutil

from agent import atomic_file
from agent.paths import RECORD_PREFIX
from agent.supervisor.tree import tree_of

log = logging.getLogger(__name__)

MAX_RECORD_BYTES = 200
_SAME_START_S = 0.05


def note(folder: Path, pid: int) -> None:
    """Write down a worker that was just started."""
    with suppress(psutil.Error, OSError):
        atomic_file.write(
            folder / f"{RECORD_PREFIX}{pid}", f"{psutil.Process(pid).create_time():.3f}".encode()
        )


def strike_off(folder: Path, pid: int) -> None:
    """It has ended."""
    (folder / f"{RECORD_PREFIX}{pid}").unlink(missing_ok=True)


def reap(folder: Path) -> list[int]:
    """Kill the workers that an earlier agent left behind; their pids.

    Call before the first worker starts.
    """
    reaped = []
    for record in sorted(folder.glob(f"{RECORD_PREFIX}*")):
        try:
            pid, started = (
                int(record.name.removeprefix(RECORD_PREFIX)),
                float(record.read_bytes()[:MAX_RECORD_BYTES]),
            )
            left = psutil.Process(pid)
            if (
                abs(left.create_time() - started) < _SAME_START_S
                and left.status() != psutil.STATUS_ZOMBIE
            ):
                tree_of(pid).kill()
                reaped.append(pid)
        except (OSError, ValueError, psutil.Error):
            log.info("reaper.nothing_left record=%s", record.name)
        finally:
            record.unlink(missing_ok=True)
    return reaped
