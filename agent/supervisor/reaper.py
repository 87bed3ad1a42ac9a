"""Workers on record: at most one trains on a machine at a time, and none outlives a killed agent.

A worker's pid and start time are written down after its start and struck off after its end. At the
next start whatever is still on record, with the same start time (pids are reused), is killed. Where
the kernel kills children with their parent nothing is ever found.
"""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from agent import atomic_file
from agent.errors import UserActionError
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


class MachineSlot:
    """The right to train on this machine, whoever is logged in: an advisory lock on a file that
    every user can open, freed by the kernel when its holder ends.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "aegisai-training.lock"
        self._file: int | None = None

    def take(self) -> bool:
        """Take it if nobody holds it.

        Raises UserActionError TRAINING_ELSEWHERE when the lock cannot even be opened.
        """
        self._file = _open_shared(self._path)
        if not _lock(self._file):
            self.free()
            return False
        return True

    def free(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def machine_folder() -> Path:
    """A folder that all users of this machine share and the system empties at its start."""
    for name in ("/run/lock", "/private/tmp", "/tmp"):  # noqa: S108  # shared on purpose; the file holds nothing and is opened without following links
        if os.access(name, os.W_OK):
            return Path(name)
    return Path(os.environ.get("PROGRAMDATA", Path.home()))


def _open_shared(path: Path) -> int:
    """Another user's file opens for reading only, and only without O_CREAT
    (fs.protected_regular).
    """
    follow_not = getattr(os, "O_NOFOLLOW", 0)
    for _ in range(3):
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | follow_not)
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | follow_not, 0o644)
    raise UserActionError(
        "TRAINING_ELSEWHERE",
        "The lock of this computer's training cannot be opened.",
        f"See who holds {path}.",
    )


def _lock(file: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
