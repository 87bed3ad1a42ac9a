"""Watches the folders in which sources of samples may search, and keeps one bit a folder: changed.

What changed is not looked at, so this process learns no names. On Linux the top level of a folder
is watched (inotify), on Windows everything below it; the daily search finds what a watch misses.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from agent.daemon.file_events import FileEvents
from agent.daemon.windows_changes import WindowsChanges
from agent.rounds.collector import Collector


class Events(Protocol):
    """Calls back after changes in folders."""

    def watch(self, folders: list[Path]) -> bool: ...

    def close(self) -> None: ...


def _events(changed: Callable[[], None]) -> Events:
    import sys

    return WindowsChanges(changed) if sys.platform == "win32" else FileEvents(changed)


class FolderWatch:
    """Follows `Collector.watched`. Call `refresh` when it may have changed; close it when done."""

    def __init__(
        self, collector: Collector, events: Callable[[Callable[[], None]], Events] = _events
    ) -> None:
        self._collector = collector
        self._events = events
        self._watches: dict[str, Events] = {}

    def refresh(self) -> None:
        """Watch exactly the folders that matter now."""
        folders = set(self._collector.watched())
        for folder in set(self._watches) - folders:
            self._watches.pop(folder).close()
        for folder in folders - set(self._watches):
            watch = self._events(partial(self._collector.folder_changed, folder))
            watch.watch([Path(folder)])
            self._watches[folder] = watch

    async def close(self) -> None:
        """End every watch."""
        while self._watches:
            self._watches.popitem()[1].close()
