"""Runs cycles, applies the limits to them, and remembers how the last one ended."""

import logging

from agent.clock import Clock
from agent.conditions.interface import Conditions
from agent.consent.gate import Gate
from agent.errors import AegisError
from agent.ipc.last_cycle import LastCycle, LastCycleFile
from agent.reasons import Reason
from agent.rounds.collector import Collector
from agent.rounds.cycle_reasons import SEEN_WITHOUT_A_CYCLE, reasons_of
from agent.rounds.outcome import USER_RESOLVABLE, CycleResult
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.supervisor.worker_host import WorkerHost

log = logging.getLogger(__name__)

SAME_AGAIN_S = 300
"""A reason that comes back within this time is not written to the disk again."""


class Cycles:
    """The cycles of one device.

    `error` and `result` say how the last cycle ended, as long as it matters, and `earlier` why the
    last one of an earlier process failed or waited, until a cycle of this one ends. `next_at` is
    when the next one begins, in seconds since the epoch, where known.
    """

    def __init__(
        self,
        gate: Gate,
        conditions: Conditions,
        worker_host: WorkerHost,
        runner: RoundRunner,
        signals: Signals,
        clock: Clock,
        memory: LastCycleFile,
        collector: Collector,
    ) -> None:
        self._gate = gate
        self._conditions = conditions
        self._worker_host = worker_host
        self._runner = runner
        self._signals = signals
        self._clock = clock
        self._memory = memory
        self._collector = collector
        self._noted = memory.read()
        self._ended_at: int | None = None
        self.earlier = self._noted
        self.error: AegisError | None = None
        self.result: CycleResult | None = None
        self.next_at: int | None = None

    async def run(
        self, *, hold_s: int | None, override: bool = False, group_wait_s: int = 0
    ) -> CycleResult:
        """Run one cycle, or join the one under way (see RoundRunner.run), and note how it ended.

        `group_wait_s`: how long it waits for a group to form.
        """
        if self._gate.denial() is None:
            await self._conditions.poll()
        self.enforce()
        try:
            await self._collect()
            result = await self._runner.run(
                hold_s=hold_s, override=override, group_wait_s=group_wait_s
            )
        except AegisError as error:
            self.failed(error)
            raise
        self.error, self.result = None, result
        self._ended()
        return result

    async def stay_off(self) -> None:
        """Consent or policy is gone: end what reads files, and remove what a source found whose
        yes has ended. A disk that takes nothing costs only that; the next call tries again.
        """
        await self._runner.recheck()
        try:
            self._collector.tidy()
        except AegisError as error:
            log.warning("sources.left code=%s", error.code)

    async def _collect(self) -> None:
        """Let the sources of samples look first, where they may and it is time."""
        if self._gate.denial() is None and not self._runner.is_busy:
            permit = self._gate.permit()
            await self._runner.run_until_withdrawn(permit, self._collector.before_cycle(permit))

    def failed(self, error: AegisError) -> None:
        """Note why a cycle failed; it shows until a cycle succeeds.

        What the status sees by itself, such as a missing consent, is not noted.
        """
        if error.code in SEEN_WITHOUT_A_CYCLE:
            return
        self.error = error
        self._ended()

    def reasons(self) -> tuple[Reason, ...]:
        """Return why the last cycle failed or waited."""
        if self.earlier is not None:
            return self.earlier.reasons
        return reasons_of(self.error, self.result, self._ended_at)

    def enforce(self) -> None:
        """Apply what settings and conditions say now to the training under way.

        Call it whenever one of them changes.
        """
        self._worker_host.enforce()
        self._runner.enforce()

    def user_changed(self) -> None:
        """Drop what the last cycle waited for; the next one notes it again if it still applies."""
        if self.result is not None and self.result.outcome in USER_RESOLVABLE:
            self.result = None
            self._remember()
        self.enforce()

    def forget(self) -> None:
        """Forget how the last cycle ended (erase)."""
        self.error = self.result = self.earlier = None
        self._remember()

    def _ended(self) -> None:
        self._ended_at = self._clock.now()
        self.earlier = None
        self._remember()
        self._signals.changed()

    def _remember(self) -> None:
        """Write down why the last cycle failed or waited. A disk that is full costs only that."""
        now, reasons = self._clock.now(), self.reasons()
        try:
            if not reasons:
                if self._noted is not None:
                    self._memory.clear()
                    self._noted = None
                return
            if self._noted is not None and _same(self._noted, reasons, now):
                return
            self._noted = LastCycle(now, reasons)
            self._memory.write(self._noted)
        except OSError as error:
            log.warning("last_cycle.not_written error=%s", error.strerror)


def _same(noted: LastCycle, reasons: tuple[Reason, ...], now: int) -> bool:
    codes = [(reason.code, reason.text) for reason in reasons]
    is_recent = 0 <= now - noted.at < SAME_AGAIN_S
    return is_recent and codes == [(reason.code, reason.text) for reason in noted.reasons]
