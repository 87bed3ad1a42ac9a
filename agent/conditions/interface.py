"""What the rest of the agent asks about the state of the machine."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from agent.reasons import Reason
from agent.status import ReadingView


class Conditions(Protocol):
    """What the machine's state says about training and sending.

    `agent.conditions.monitor.Monitor` reads it from this computer; tests use a fake.
    """

    def may_train(self) -> tuple[Reason, ...]:
        """Return the reasons against training now, in order; none means go."""

    def may_send(self) -> tuple[Reason, ...]:
        """Return the reasons against sending now, in order; none means go."""

    def readings(self) -> tuple[ReadingView, ...]:
        """Return the last readings, each with its source."""

    def note(self) -> str:
        """Say why the readings are unreliable; empty when they are not."""

    def cpu_percent(self) -> int | None:
        """Return the processor limit for training now, in per cent of one core.

        None: the limit that holds while the computer is in use.
        """

    async def look(self) -> None:
        """Read everything once, unless `watch` is reading already."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """Read until cancelled. Calls `changed` in the event loop when a reading or verdict
        changes.
        """


class NoConditions:
    """For simulated devices, which do not own the machine: nothing is read, everything is
    allowed.
    """

    def may_train(self) -> tuple[Reason, ...]:
        return ()

    def may_send(self) -> tuple[Reason, ...]:
        return ()

    def readings(self) -> tuple[ReadingView, ...]:
        return ()

    def note(self) -> str:
        return ""

    def cpu_percent(self) -> int | None:
        return None

    async def look(self) -> None:
        pass

    async def watch(self, changed: Callable[[], None]) -> None:  # noqa: ARG002 - nothing changes
        await asyncio.Event().wait()
