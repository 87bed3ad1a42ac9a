"""Probes for a system that sends no signals: every poll reads everything that is required."""

from collections.abc import Callable, Mapping
from typing import Any

from agent.conditions.readings import Reading, Snapshot, attempt


class PollingProbes:
    """Know nothing until the first poll.

    A subclass lists in `_readers` what it can read; this class can read nothing.
    """

    note = "this system tells nothing about its user, its power and its network"

    def __init__(self) -> None:
        self._snapshot: Snapshot = {}

    def _readers(self) -> Mapping[str, Callable[[], Reading[Any]]]:
        """Return the function for each reading that this system offers."""
        return {}

    async def open(self, changed: Callable[[], None]) -> None:
        pass

    async def poll(self, required: frozenset[str], idle_s: int) -> None:  # noqa: ARG002 - no threshold to set
        self._snapshot = {
            name: attempt(read, name) for name, read in self._readers().items() if name in required
        }

    def snapshot(self) -> Snapshot:
        return dict(self._snapshot)

    def is_going_to_sleep(self) -> bool:
        return False

    async def close(self) -> None:
        self._snapshot = {}
