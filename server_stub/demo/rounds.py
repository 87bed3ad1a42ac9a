"""Holds the demonstration's rounds: real ones, between real processes; looks at every new model on
rows that no device has.
"""

import asyncio
import contextlib
import math
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from agent.detector.model import Metrics, from_safetensors
from agent.errors import InternalError
from agent.protocol.messages import RoundConfig
from server_stub.demo.baselines import evaluate
from server_stub.demo.device_fleet import VANISHED, DeviceResult, Fleet
from server_stub.demo.full_agent import FullAgent
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import DemoPlan
from server_stub.demo.report import GroupLine, RoundLine
from server_stub.rounds.lifecycle import State
from server_stub.simulation.data import Table

AFTER_ROUND_S = 60.0


class Screen(Protocol):
    """Where progress is shown."""

    def doing(self, text: str, total: int = 0) -> None:
        """A new step; `total` parts of it will be told by `part`."""

    def part(self) -> None: ...

    def round(self, line: RoundLine) -> None: ...


@dataclass(frozen=True)
class Held:
    """What the rounds gave."""

    lines: tuple[RoundLine, ...]
    before: Metrics
    after: Metrics
    bytes_up: float
    """Per simulated device and round."""
    bytes_down: float
    epsilon_local: float
    """What a device would have spent if the protection of the sums failed."""
    dropped: int
    agent_sent: int
    notes: tuple[str, ...]


def hold(
    plan: DemoPlan,
    server: LocalServer,
    fleet: Fleet,
    agent: FullAgent | None,
    table: Table,
    screen: Screen,
) -> Held:
    """All rounds. Raises AegisError, and KeyboardInterrupt when told to stop."""

    async def scene() -> Held:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (it runs)
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await _Rounds(plan, server, fleet, agent, table, screen).run()

    try:
        return asyncio.run(scene())
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def noise_of_sum(config: RoundConfig, updates: int) -> float:
    """Standard deviation of the noise in a sum of so many updates, in units of the clipping
    norm.
    """
    return math.sqrt(updates * config.noise_var) * float(config.grid / config.clip)


def group_line(group: dict[str, Any], config: RoundConfig) -> GroupLine:
    """A group of the aggregator's record."""
    names = ("size", "dealers", "survivors", "signed", "unmasked", "state", "m", "c", "failure")
    return GroupLine(
        **{name: group[name] for name in names}, noise_sd=noise_of_sum(config, group["survivors"])
    )


class _Rounds:
    def __init__(
        self,
        plan: DemoPlan,
        server: LocalServer,
        fleet: Fleet,
        agent: FullAgent | None,
        table: Table,
        screen: Screen,
    ) -> None:
        self._plan = plan
        self._server = server
        self._fleet = fleet
        self._agent = agent
        self._table = table
        self._screen = screen
        self._missed: dict[str, int] = {}
        self._agent_sent = 0
        self._dropped = 0

    async def run(self) -> Held:
        count = len(self._fleet.devices)
        self._screen.doing(f"{count} simulated devices enrol", count)
        await self._fleet.join(self._server.invitation(count), self._screen.part)
        before = self._look()
        lines = tuple([await self._round(number) for number in range(1, self._plan.rounds + 1)])
        traffic, shared = self._fleet.traffic(), count * len(lines)
        return Held(
            lines=lines,
            before=before,
            after=self._look(),
            bytes_up=traffic.up / shared,
            bytes_down=traffic.down / shared,
            epsilon_local=self._fleet.epsilon_spent(self._plan.delta)[1],
            dropped=self._dropped,
            agent_sent=self._agent_sent,
            notes=tuple(f"{text} ({times} times)" for text, times in self._missed.items()),
        )

    async def _round(self, number: int) -> RoundLine:
        if not self._plan.is_secagg:
            await self._server.open_round()
        started = time.monotonic()
        self._screen.doing(f"Round {number} of {self._plan.rounds}", self._plan.devices)

        def is_over() -> bool:
            if time.monotonic() - started > self._plan.round_seconds + AFTER_ROUND_S:
                return True  # it never opened: somebody is missing for good
            held = self._server.round(number)
            return held is not None and held.state is not State.OPEN

        def told(part: DeviceResult) -> None:
            self._dropped += part.outcome == VANISHED
            if not part.is_sent and part.outcome != VANISHED:
                self._miss(f"A device did not take part: {part.text}")
            self._screen.part()

        vanishing = self._plan.vanishing(number, len(self._fleet.devices))
        parts, _ = await asyncio.gather(
            self._fleet.round(vanishing, until=is_over, told=told), self._full_agent(is_over)
        )
        if not any(part.is_sent or part.is_late or part.outcome == VANISHED for part in parts):
            why = parts[0].text
            raise InternalError(
                "DEMO_FAILED",
                f"No simulated device could take part in round {number}: {why}",
                "Report this.",
            )
        ended = await self._server.finished(number, self._plan.round_seconds + AFTER_ROUND_S)
        seconds = time.monotonic() - started
        if ended.state is not State.DONE:
            self._miss(f"A round gave no model: {ended.note}")
        seen = self._look()
        line = RoundLine(
            number=number,
            accuracy=seen.accuracy,
            auc=seen.auc,
            fpr=seen.fpr,
            epsilon=self._fleet.epsilon_spent(self._plan.delta)[0],
            updates=ended.updates,
            seconds=seconds,
            noise_sd_of_sum=noise_of_sum(ended.config, ended.updates),
            groups=tuple(
                group_line(group, ended.config) for group in ended.record.get("groups", ())
            ),
            dropped=dict(
                Counter(vanishing[part.device] for part in parts if part.outcome == VANISHED)
            ),
        )
        self._screen.round(line)
        return line

    async def _full_agent(self, is_over: Callable[[], bool]) -> None:
        if self._agent is None:
            return
        why = await self._agent.take_part(self._agent_sent, is_over)
        self._agent_sent += not why
        if why:
            self._miss(f"The full agent did not take part: {why}")
        self._screen.part()

    def _look(self) -> Metrics:
        """How good the newest model is on the hold-out."""
        weights = from_safetensors(self._server.model().content).weights
        return evaluate(np.asarray(weights, np.float64), self._table)

    def _miss(self, text: str) -> None:
        self._missed[text] = self._missed.get(text, 0) + 1
