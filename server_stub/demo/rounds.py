"""Runs the rounds of a demonstration between real processes.

After each round the new model is evaluated on rows that no device has.
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

from agent.errors import InternalError
from agent.protocol.messages import RoundConfig
from server_stub.demo.device_fleet import DROPPED_OUT, DeviceResult, Fleet
from server_stub.demo.evaluation import Evaluation
from server_stub.demo.full_agent import FullAgent
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import DemoPlan
from server_stub.demo.report import GroupResult, RoundResult
from server_stub.demo.spending import Spending, most_spent
from server_stub.rounds.lifecycle import State

AFTER_ROUND_S = 60.0
"""How long a round may overrun its time before the demonstration gives it up."""
GROUP_FIELDS = ("size", "dealers", "survivors", "signed", "unmasked", "state", "m", "c", "failure")


Judge = Callable[[bytes], Evaluation]
"""Judges a model's file on rows that no device has."""


class Screen(Protocol):
    """Where progress is shown."""

    def start_step(self, text: str, parts: int = 0) -> None:
        """Begin a step; `advance` is called for each of its `parts`."""

    def advance(self) -> None: ...

    def show_round(self, result: RoundResult, rounds: int) -> None: ...


@dataclass(frozen=True)
class AllRounds:
    """The outcome of all rounds together."""

    results: tuple[RoundResult, ...]
    before: Evaluation
    after: Evaluation
    bytes_up: float
    """Per simulated device and round."""
    bytes_down: float
    spending: Spending
    dropped: int
    """Times that a device dropped out on purpose."""
    agent_sent: int
    """Updates that the full agent sent."""
    notes: tuple[str, ...]


def run_rounds(
    plan: DemoPlan,
    server: LocalServer,
    fleet: Fleet,
    agent: FullAgent | None,
    judge: Judge,
    screen: Screen,
) -> AllRounds:
    """Enrol the fleet and run every round of the plan. `judge` sees each model.

    Raises AegisError, and KeyboardInterrupt on Ctrl-C or SIGTERM.
    """

    async def main() -> AllRounds:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (this is the running task)
        # A cancellation unwinds the tasks in order; what a signal handler raises may hit any line.
        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in a loop
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await _RoundLoop(plan, server, fleet, agent, judge, screen).run()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def noise_of_sum(config: RoundConfig, updates: int) -> float:
    """Standard deviation of the noise in a sum of this many updates, in units of the clipping
    norm.
    """
    return math.sqrt(updates * config.noise_var) * float(config.grid / config.clip)


def group_result(group: dict[str, Any], config: RoundConfig) -> GroupResult:
    """A group from the aggregator's record of a round."""
    return GroupResult(
        **{name: group[name] for name in GROUP_FIELDS},
        noise_sd=noise_of_sum(config, group["survivors"]),
    )


class _RoundLoop:
    def __init__(
        self,
        plan: DemoPlan,
        server: LocalServer,
        fleet: Fleet,
        agent: FullAgent | None,
        judge: Judge,
        screen: Screen,
    ) -> None:
        self._plan = plan
        self._server = server
        self._fleet = fleet
        self._agent = agent
        self._judge = judge
        self._screen = screen
        self._notes: Counter[str] = Counter()
        self._agent_sent = 0
        self._dropped = 0

    async def run(self) -> AllRounds:
        count = len(self._fleet.devices)
        self._screen.start_step(f"{count} simulated devices enrol", count)
        await self._fleet.join(self._server.invitation(count), self._screen.advance)
        before = self._evaluate()
        results = tuple([await self._round(number) for number in range(1, self._plan.rounds + 1)])
        traffic, shared = self._fleet.traffic(), count * len(results)
        return AllRounds(
            results=results,
            before=before,
            after=self._evaluate(),
            bytes_up=traffic.up / shared,
            bytes_down=traffic.down / shared,
            spending=self._spending(),
            dropped=self._dropped,
            agent_sent=self._agent_sent,
            notes=tuple(
                f"{text} ({times} times)" if times > 1 else text
                for text, times in self._notes.items()
            ),
        )

    def _spending(self) -> Spending:
        """Over every ledger, that of the full agent included."""
        full_agent = () if self._agent is None else (self._agent.rho_units(),)
        return most_spent((*self._fleet.ledgers(), *full_agent), self._plan.delta)

    async def _round(self, number: int) -> RoundResult:
        # In secagg mode a round opens only once the devices are ready, so there is nothing to wait
        # for before they start.
        if not self._plan.is_secagg:
            await self._server.open_round()
        started = time.monotonic()
        self._screen.start_step(f"Round {number} of {self._plan.rounds}", self._plan.devices)

        def is_over() -> bool:
            if time.monotonic() - started > self._plan.round_seconds + AFTER_ROUND_S:
                return True  # it never opened: a device that it waits for is missing for good
            current = self._server.round(number)
            return current is not None and current.state is not State.OPEN

        drop_outs = self._plan.drop_outs(number, len(self._fleet.devices))
        # At the same time: in secagg mode the full agent and the fleet wait for each other.
        devices, obstacle = await asyncio.gather(
            self._fleet.round(drop_outs, until=is_over, on_result=self._device_ended),
            self._full_agent(is_over),
        )
        if not any(
            device.is_sent or device.is_late or device.outcome == DROPPED_OUT for device in devices
        ):
            # In secagg mode every device waits for the full agent, so its reason comes first.
            reason = f"The full agent sent nothing. {obstacle}" if obstacle else devices[0].text
            raise InternalError(
                "DEMO_FAILED",
                f"No simulated device could take part in round {number}. {reason}",
                "Try again later." if obstacle else "Report this.",
            )
        ended = await self._server.finished(number, self._plan.round_seconds + AFTER_ROUND_S)
        # Before the evaluation, which is no part of the round.
        seconds = time.monotonic() - started
        if ended.state is not State.DONE:
            self._notes[f"A round made no model: {ended.note}"] += 1
        result = RoundResult(
            number=number,
            evaluation=self._evaluate(),
            epsilon=self._spending().epsilon,
            updates=ended.updates,
            seconds=seconds,
            noise_sd_of_sum=noise_of_sum(ended.config, ended.updates),
            groups=tuple(
                group_result(group, ended.config) for group in ended.record.get("groups", ())
            ),
            dropped=dict(
                Counter(
                    drop_outs[device.device] for device in devices if device.outcome == DROPPED_OUT
                )
            ),
        )
        self._screen.show_round(result, self._plan.rounds)
        return result

    def _device_ended(self, device: DeviceResult) -> None:
        if device.outcome == DROPPED_OUT:
            self._dropped += 1
        elif not device.is_sent:
            self._notes[f"A device did not take part. {device.text}"] += 1
        self._screen.advance()

    async def _full_agent(self, is_over: Callable[[], bool]) -> str:
        """Returns what kept the full agent from sending its update, if anything did."""
        if self._agent is None:
            return ""
        obstacle = await self._agent.take_part(self._agent_sent, is_over)
        if obstacle:
            self._notes[f"The full agent did not take part. {obstacle}"] += 1
        else:
            self._agent_sent += 1
        self._screen.advance()
        return obstacle

    def _evaluate(self) -> Evaluation:
        """Judge the newest model on the hold-out."""
        return self._judge(self._server.model().content)
