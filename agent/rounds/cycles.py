"""Runs cycles, applies the limits to them, and remembers how the last one ended."""

from agent.conditions.interface import Conditions
from agent.consent.gate import Gate
from agent.errors import AegisError
from agent.rounds.outcome import USER_RESOLVABLE, CycleResult
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.supervisor.worker_host import WorkerHost


class Cycles:
    """The cycles of one device.

    `error` and `result` say how the last cycle ended, as long as it matters. `next_at` is when the
    next one begins, in seconds since the epoch, where known.
    """

    def __init__(
        self,
        gate: Gate,
        conditions: Conditions,
        worker_host: WorkerHost,
        runner: RoundRunner,
        signals: Signals,
    ) -> None:
        self._gate = gate
        self._conditions = conditions
        self._worker_host = worker_host
        self._runner = runner
        self._signals = signals
        self.error: AegisError | None = None
        self.result: CycleResult | None = None
        self.next_at: int | None = None

    async def run(
        self, *, hold_s: int, override: bool = False, group_wait_s: int = 0
    ) -> CycleResult:
        """Run one cycle, or join the one under way (see RoundRunner.run), and note how it ended.

        `group_wait_s`: how long it waits for a group to form.
        """
        if self._gate.denial() is None:
            await self._conditions.poll()
        self.enforce()
        try:
            result = await self._runner.run(
                hold_s=hold_s, override=override, group_wait_s=group_wait_s
            )
        except AegisError as error:
            self.failed(error)
            raise
        self.error, self.result = None, result
        self._signals.changed()
        return result

    def failed(self, error: AegisError) -> None:
        """Note why a cycle failed; it shows until a cycle succeeds."""
        self.error = error
        self._signals.changed()

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
        self.enforce()

    def forget(self) -> None:
        """Forget how the last cycle ended (erase)."""
        self.error = self.result = None
