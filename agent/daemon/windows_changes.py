"""Tells on Windows when something changes in a folder or below, without saying what.

FindFirstChangeNotificationW gives a handle that a change signals; unlike ReadDirectoryChangesW it
names no file. Unverified: written from Microsoft's documentation, and never run on Windows.
"""

import asyncio
import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMES_SIZES_WRITES = 0x1 | 0x2 | 0x8 | 0x10
"""FILE_NOTIFY_CHANGE_FILE_NAME, _DIR_NAME, _SIZE, _LAST_WRITE."""
_INVALID = ctypes.c_void_p(-1).value
_WAIT_MS = 500
_SIGNALLED = 0


class WindowsChanges:
    """Calls `changed` in the event loop after a change. Close it when done."""

    def __init__(self, changed: Callable[[], None], kernel: Any = None) -> None:
        """`kernel`: kernel32, which only Windows has."""
        self._changed = changed
        self._kernel = kernel
        self._is_open = False
        self._waiting: list[asyncio.Future[None]] = []

    def watch(self, folders: list[Path]) -> bool:
        """Watch these folders with all below; return whether all can be watched."""
        kernel = self._kernel or ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
        kernel.FindFirstChangeNotificationW.restype = ctypes.c_void_p
        self._is_open = True
        handles = [
            kernel.FindFirstChangeNotificationW(str(folder), True, _NAMES_SIZES_WRITES)
            for folder in folders
        ]
        loop = asyncio.get_running_loop()
        for handle in handles:
            if handle not in (None, _INVALID):
                waiting = loop.run_in_executor(None, self._wait, kernel, handle, loop)
                self._waiting.append(waiting)
        return len(self._waiting) == len(folders)

    def close(self) -> None:
        """End the watch; its thread ends within half a second."""
        self._is_open = False

    def _wait(self, kernel: Any, handle: int, loop: asyncio.AbstractEventLoop) -> None:
        place = ctypes.c_void_p(handle)
        while self._is_open:
            if kernel.WaitForSingleObject(place, _WAIT_MS) == _SIGNALLED:
                loop.call_soon_threadsafe(self._changed)
                if not kernel.FindNextChangeNotification(place):
                    break
        kernel.FindCloseChangeNotification(place)
