"""Allows one agent per home: a file lock that the operating system drops when its holder dies.

The file holds the holder's process id, in a fixed width. It is never emptied, and never a link: a
link in its place would have another file of this user written.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.errors import UserActionError
from agent.files import atomic_file, file_system

PID_BYTES = 21
_NOT_PLAIN = frozenset({errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.ENXIO, errno.ENODEV})


class HomeLock:
    """Holds a home for this process. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another process holds it.

        Raises UserActionError HOME_UNUSABLE when it is not a plain file, NO_FILE_LOCKS, and
        OSError when it cannot be opened or locked.
        """
        while True:
            try:
                descriptor = atomic_file.open_plain(self._path, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                if error.errno in _NOT_PLAIN:
                    raise _unusable(error) from error
                raise
            try:
                is_free = _lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                if error.errno in file_system.NONE_HERE:
                    raise file_system.no_locks_for_agent(self._path.parent, str(error)) from error
                raise
            if is_free and _is_at(descriptor, self._path):
                break
            os.close(descriptor)
            if not is_free:
                return False
        _sign(descriptor)
        self._descriptor = descriptor
        return True

    def is_held(self) -> bool:
        """Whether another process holds the lock, for who may only read the file."""
        try:
            descriptor = atomic_file.open_plain(self._path, os.O_RDONLY)
        except OSError:
            return False
        try:
            return not _lock(descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    @property
    def is_current(self) -> bool:
        """Whether this process holds the home: not after the file was removed or replaced."""
        return self._descriptor is not None and _is_at(self._descriptor, self._path)

    def holder(self) -> int | None:
        """Return the process id that the last holder left; None when it cannot be read."""
        try:
            return int(atomic_file.read(self._path, PID_BYTES))
        except (OSError, ValueError):
            return None

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


def _unusable(error: OSError) -> UserActionError:
    return UserActionError(
        "HOME_UNUSABLE",
        f"AegisAI cannot lock its own folder ({error.strerror}).",
        "If lock in it is a link, or not a file, remove it. Otherwise choose another home with"
        " --home.",
    )


def _sign(descriptor: int) -> None:
    """Write our process id, for people, unless the file has a second name somewhere else."""
    if os.fstat(descriptor).st_nlink == 1:
        with suppress(OSError):  # a full disk
            os.write(descriptor, f"{os.getpid():<{PID_BYTES - 1}}\n".encode())


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        opened, named = os.fstat(descriptor), path.lstat()
    except OSError:
        return False
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Raises OSError where the file system has no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
