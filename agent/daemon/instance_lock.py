"""Allows one agent per home: a file lock that the operating system drops when its holder dies."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from agent import file_system
from agent.errors import UserActionError


class HomeLock:
    """Holds a home for this process. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another process holds it.

        Raises OSError when the file cannot be created, UserActionError NO_FILE_LOCKS.
        """
        descriptor = os.open(
            self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600
        )
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in file_system.NONE_HERE:
                raise file_system.no_locks_for_agent(self._path.parent, str(error)) from error
            return False
        with suppress(OSError):  # a full disk: the number is for people only
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def is_held(self) -> bool:
        """Whether another process holds the lock, for who may only read the file."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return False
        try:
            _lock(descriptor)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def release(self) -> None:
        """Release the lock. The file stays: without it two processes could hold a lock briefly."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        if not self.acquire():
            raise UserActionError(
                "HOME_IN_USE",
                "Another AegisAI process is using this home.",
                "Wait for it to end, end it with aegis quit, or choose another home with --home.",
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
