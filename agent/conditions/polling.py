"""Probes of a system that sends no signals: what it tells is asked for at every look."""

from collections.abc import Callable, Mapping
from typing import Any

from agent.conditions.readings import Reading, Told, attempt


class PollingProbes:
    """Nothing is known until the first look.

    A subclass says in `_asked` what it can ask; this one can ask nothing.
    """

    note = "this system tells nothing of its user, its power and its network"

    def __init__(self) -> None:
        self._told: Told = {}

    def _asked(self) -> Mapping[str, Callable[[], Reading[Any]]]:
        """By the names of Readings."""
        return {}

    async def open(self, changed: Callable[[], None]) -> None:
        pass

    async def look(self, wanted: frozenset[str], idle_s: int) -> None:  # noqa: ARG002 - the system keeps no threshold for us
        self._told = {
            name: attempt(ask, name) for name, ask in self._asked().items() if name in wanted
        }

    def told(self) -> Told:
        return dict(self._told)

    def sleeps(self) -> bool:
        return False

    async def close(self) -> None:
        self._told = {}
