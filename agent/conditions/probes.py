"""The probes of one operating system: what reads the user, the session, the power and the network.

The module of the system is imported when its probes are made: each loads libraries that the others
do not have.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

from agent.conditions.polling import PollingProbes
from agent.conditions.readings import Snapshot


class Probes(Protocol):
    """What the monitor needs of an operating system.

    Only a missing library raises, because it means a broken installation.
    """

    note: str
    """Why the readings are unreliable; empty when they are not."""

    async def open(self, changed: Callable[[], None]) -> None:
        """Connect to what sends signals, and call `changed` in the event loop at each.

        What is missing stays unknown.
        """

    async def poll(self, required: frozenset[str], idle_s: int) -> None:
        """Read what sends no signals. `idle_s`: the idle time that changes a verdict."""

    def snapshot(self) -> Snapshot:
        """Return what is known now; readings that are left out are unknown."""

    def is_going_to_sleep(self) -> bool:
        """Whether the machine has announced that it is about to sleep."""

    async def close(self) -> None: ...


def native_probes(environ: Mapping[str, str]) -> Probes:
    """Return the probes of this operating system, for the session that `environ` describes."""
    if sys.platform not in _SYSTEMS:
        return PollingProbes()
    module, name = _SYSTEMS[sys.platform]
    probes: Probes = getattr(import_module(module), name)(environ)
    return probes


_SYSTEMS = {
    "linux": ("agent.conditions.linux", "LinuxProbes"),
    "win32": ("agent.conditions.windows", "WindowsProbes"),
    "darwin": ("agent.conditions.macos", "MacProbes"),
}
