"""At most one training at a time on a computer, whoever is logged in."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from agent.errors import UserActionError

RETRY_S, MAX_TRIES = 1.0, 300
"""How long `async with` waits between two tries, and how often it tries."""


class MachineSlot:
    """The right to train on this machine: an advisory lock on a file that every user can open.

    The kernel frees it when its holder ends. `async with MachineSlot(machine_folder())` waits for
    the slot.
    """

    def __init__(
        self, folder: Path, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._path = folder / "aegisai-training.lock"
        self._sleep = sleep
        self._file: int | None = None

    def take(self) -> bool:
        """Take the slot; False when another process holds it.

        Raises UserActionError TRAINING_ELSEWHERE when the lock file cannot be opened.
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

    async def __aenter__(self) -> None:
        """Wait for the slot. Raises UserActionError TRAINING_ELSEWHERE after MAX_TRIES."""
        tries = 0
        while not self.take():
            if (tries := tries + 1) > MAX_TRIES:
                raise UserActionError(
                    "TRAINING_ELSEWHERE",
                    "Another AegisAI is training on this computer.",
                    "This one goes on when it has ended.",
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
    """Return a folder that all users of this machine share and the system empties when it
    starts.
    """
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
