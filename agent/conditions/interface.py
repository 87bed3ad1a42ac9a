"""What the rest of the agent needs from the conditions: verdicts, readings and a change signal."""

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
        """Return the last readings, each with its source; none before the first poll."""

    def note(self) -> str:
        """Say why the readings are unreliable; empty when they are not."""

    def cpu_percent(self) -> int | None:
        """Return the processor limit for training now, in per cent of one core.

        None: use the limit for a computer in use.
        """

    async def poll(self) -> None:
        """Read everything once, unless `watch` has already done so."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """Read until cancelled. Calls `changed` in the event loop when a reading or verdict
        changes.
        """


class NoConditions:
    """For simulated devices, which do not own the machine: reads nothing and allows everything."""

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

    async def poll(self) -> None:
        pass

    async def watch(self, changed: Callable[[], None]) -> None:  # noqa: ARG002 - nothing changes
        await asyncio.Event().wait()
