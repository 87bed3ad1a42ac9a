"""Allows one training at a time on a computer, whoever is logged in."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from agent.errors import UserActionError

RETRY_S, MAX_TRIES = 1.0, 300
"""The wait of `async with` between two tries, and the number of tries."""


class MachineSlot:
    """The right to train on this machine: an advisory lock on a file that every user can open.

    The kernel frees it when the process ends that took it. As a context manager it waits for the
    slot.
    """

    def __init__(
        self, folder: Path, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._path = folder / "aegisai-training.lock"
        self._sleep = sleep
        self._file: int | None = None

    def take(self) -> bool:
        """Take the slot. False: another process has it.

        Raises UserActionError TRAINING_ELSEWHERE when the lock file cannot be opened.
        """
        self._file = _open_shared(self._path)
        if not _lock(self._file, self._path):
            self.free()
            return False
        return True

    def free(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def __aenter__(self) -> None:
        """Wait for the slot. Raises UserActionError TRAINING_ELSEWHERE after MAX_TRIES."""
        tries = 0
        while not self.take():
            if (tries := tries + 1) > MAX_TRIES:
                raise UserActionError(
                    "TRAINING_ELSEWHERE",
                    "Another AegisAI is training on this computer.",
                    "Training starts here when the other one has ended.",
                )
            await self._sleep(RETRY_S)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.free()


def machine_folder() -> Path:
    """Return a folder that all users share and that the system empties when it starts."""
    for name in ("/run/lock", "/private/tmp", "/tmp"):  # noqa: S108 - shared on purpose: the file is empty, and opening it follows no links
        if os.access(name, os.W_OK):
            return Path(name)
    return Path(os.environ.get("PROGRAMDATA", Path.home()))


def _open_shared(path: Path) -> int:
    """Open the lock file of all users and return its descriptor.

    Another user's file opens for reading only, and only without O_CREAT (fs.protected_regular).
    Three tries, because that user may remove the file in between.
    """
    follow_not = getattr(os, "O_NOFOLLOW", 0)
    for _ in range(3):
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | follow_not)
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | follow_not, 0o644)
    raise _cannot_open(path)


def _cannot_open(path: Path) -> UserActionError:
    return UserActionError(
        "TRAINING_ELSEWHERE",
        "The file that allows one training at a time cannot be opened.",
        f"Check the owner and the permissions of {path}.",
    )


def _lock(file: int, path: Path) -> bool:
    """Take the lock. Raises UserActionError TRAINING_ELSEWHERE where there are no locks."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    # The kernel frees this lock with the descriptor; a file with a pid would outlive a crash.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _cannot_open(path) from error
    return True
