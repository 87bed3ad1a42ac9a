"""Tells when something changes in a few folders, without looking: inotify(7) of Linux.

While nothing changes the process sleeps. Where the system has no such events (another system, a
limit that is reached, a network file system that another computer changes) the caller looks from
time to time instead.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

_CHANGES = (
    0x8  # IN_CLOSE_WRITE: a file was written
    | 0x40 | 0x80  # IN_MOVED_FROM, IN_MOVED_TO
    | 0x100 | 0x200  # IN_CREATE, IN_DELETE
    | 0x400 | 0x800  # IN_DELETE_SELF, IN_MOVE_SELF
    | 0x01000000  # IN_ONLYDIR
)  # fmt: skip
_READ_BYTES = 64 * 1024


class FileEvents:
    """Calls `changed` after each burst of changes. Close it when done."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._descriptor = -1
        self._watched: set[Path] = set()

    def watch(self, folders: Iterable[Path]) -> bool:
        """Watch exactly these folders; return whether the system reports changes in all of them.

        Call it again once a folder was replaced: a watch follows the folder, not its name.
        """
        self.close()
        wanted = set(folders)
        if sys.platform != "linux":
            return False
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._descriptor < 0:
                return False
            for folder in wanted:
                if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _CHANGES) >= 0:
                    self._watched.add(folder)
        except (OSError, AttributeError):
            return False
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return self._watched == wanted

    def close(self) -> None:
        if self._descriptor >= 0:
            with suppress(RuntimeError):  # the event loop has ended
                asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = -1
        self._watched.clear()

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._descriptor, _READ_BYTES):
                pass
        self._changed()
