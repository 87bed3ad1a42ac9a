"""A running agent: serves the local channel and runs cycles until it ends. `aegis run` is this.

Without a live consent there is no timer at all: the loop sleeps until something wakes it. With one,
it checks the clock at least every TICK_S, because wall time may jump while the machine sleeps.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from contextlib import suppress

from agent import clock
from agent.container import Agent
from agent.daemon import scheduler
from agent.daemon.folder_watch import FolderWatch
from agent.daemon.upkeep import Upkeep
from agent.errors import AegisError, InternalError
from agent.ipc.places import place_socket
from agent.ipc.server import ChannelServer
from agent.program.process import Program
from agent.program.replacement import Act
from agent.reports.viewing_copies import ViewingCopies
from agent.rounds.runner import MANUAL_GROUP_WAIT_S

log = logging.getLogger(__name__)

TICK_S = 60.0
RECHECK_S = 5.0
"""How often a cycle under way is checked against consent and conditions. Withdrawing and pausing
act at once and do not wait for this."""
MODEL_PERIOD_S = 24 * 3600
STATUS_DELAY_S = 0.1
"""Changes within this time are pushed together."""

_INTERNAL = InternalError("INTERNAL", "Something went wrong inside AegisAI.", "See the log.")


def _gave_up_error(error: AegisError) -> AegisError:
    return InternalError(
        "GAVE_UP",
        f"Training failed {scheduler.GIVE_UP_AFTER} times in a row ({error.message}), so AegisAI"
        " stopped trying for a day.",
        "aegis run-now tries again at once; aegis doctor shows what works on this computer.",
    )


class Loop:
    """Runs one agent until it is asked to quit."""

    def __init__(
        self,
        agent: Agent,
        draw: Callable[[], float] = random.random,
        program: Program | None = None,
        session: str = "",
    ) -> None:
        """`draw` returns a float in [0, 1) that spreads the cycles of a fleet.

        `program`: how this process was started; None: its files are not watched. `session`: the
        login whose icon started it, or empty.
        """
        self._agent = agent
        self._draw = draw
        self._woken = asyncio.Event()
        self._quit = asyncio.Event()
        self._run_requested = False
        self._push_scheduled = False
        self._model_checked_at: int | None = None
        self._erase_at: float | None = None
        """When an unfinished erasure is tried again (Clock.elapsed); None when none is known."""
        self._watching: asyncio.Task[None] | None = None
        self._was_blocked = False
        self._was_joining = self._is_joining()
        self._history = scheduler.History(_elapsed_s(agent))
        self._channel = ChannelServer(
            lambda: place_socket(agent.home, agent.environ),
            agent.service.call,
            lambda: agent.status().to_json(),
            session,
        )
        self._folder_watch = FolderWatch(agent.collector)
        self._upkeep = Upkeep(agent, self._channel, program, self._end)
        self.must_restart = False
        """Whether the program was replaced, so that the new one takes over."""
        agent.signals.connect_loop(run_now=self._run_now, request_quit=self._quit.set)
        agent.signals.on_user_change(self._user_changed)
        agent.signals.on_change(self._push_soon)

    async def run(self) -> None:
        """Serve until asked to quit or signalled.

        Raises OSError, UserActionError CHANNEL_UNSAFE, NO_SOCKETS.
        """
        _handle_signals(end=self._quit.set, replaced=self._upkeep.program_was_replaced)
        with suppress(OSError):
            ViewingCopies(self._agent.home).remove()
        await self._channel.open()
        self._upkeep.start()
        await self._upkeep.check()
        for follow in (self._watch_machine, self._folder_watch.refresh):
            self._agent.signals.on_change(follow)
            follow()
        log.info("agent.started")
        cycles = asyncio.create_task(self._run_cycles_forever())
        quitting = asyncio.create_task(self._quit.wait())
        try:
            done, _ = await asyncio.wait({cycles, quitting}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (cycles, quitting, *([self._watching] if self._watching else [])):
                task.cancel()
            await self._stop()
            log.info("agent.stopped")

    async def _stop(self) -> None:
        """End every part, whatever the end of another part raises: files of the program may be
        gone.
        """
        for part in (
            self._upkeep.close,
            self._folder_watch.close,
            self._agent.runner.quit,
            self._agent.worker_host.stop,
            self._channel.close,
        ):
            try:
                await part()
            except Exception:
                log.exception("end.broken part=%s", part.__qualname__)

    def _end(self, act: Act) -> None:
        self.must_restart = act is Act.RESTART
        self._quit.set()

    async def _run_cycles_forever(self) -> None:
        """Run cycles; log, show and retry whatever fails between two of them (a full disk, a bug).

        It never returns.
        """
        while True:
            try:
                await self._run_cycles()
            except Exception as error:
                log.exception("loop.broken")
                shown = error if isinstance(error, AegisError) else _INTERNAL
                self._agent.cycles.failed(shown)
                await self._sleep(TICK_S)

    async def _run_cycles(self) -> None:
        draw = self._draw()
        wall, monotonic = self._agent.clock.now(), self._agent.clock.monotonic()
        previous = _elapsed_s(self._agent)
        while True:
            await self._upkeep.check()
            await self._retry_erase()
            now, ticks = self._agent.clock.now(), self._agent.clock.monotonic()
            elapsed = _elapsed_s(self._agent)
            if set_by_s := clock.set_by_s(wall, previous, now, elapsed):
                self._history = scheduler.after_clock_set(self._history, elapsed)
                if set_by_s < 0:
                    # The hold of a finished update is a time of day that may now be far away.
                    self._agent.runner.updates.restart_hold()
            if clock.slept(previous, monotonic, elapsed, ticks):
                self._history = scheduler.after_wake(self._history, elapsed)
            wall, monotonic, previous = now, ticks, elapsed
            if self._agent.gate.denial() is not None:
                self._agent.cycles.next_at = None
                wait = self._saved_withdrawal(await self._refresh_model())
                await self._agent.cycles.stay_off()
                self._folder_watch.refresh()
                await self._sleep(wait)
                self._history = scheduler.after_wake(self._history, _elapsed_s(self._agent))
                continue
            wait_s = scheduler.next_at(self._history, draw) - elapsed
            self._agent.cycles.next_at = now + wait_s
            if not self._run_requested and wait_s > 0:
                await self._sleep(min(TICK_S, wait_s))
                continue
            await self._run_cycle()
            draw = self._draw()

    async def _run_cycle(self) -> None:
        is_manual, self._run_requested = self._run_requested, False
        minutes = self._agent.effective.settings().integer("hold.minutes")
        rechecking = asyncio.create_task(self._recheck_regularly())
        try:
            result = await self._agent.cycles.run(
                hold_s=None if is_manual else minutes * 60,
                override=is_manual,
                group_wait_s=MANUAL_GROUP_WAIT_S if is_manual else 0,
            )
            log.info("cycle.done outcome=%s", result.outcome.value)
            self._history = scheduler.after_cycle(
                self._history, result, _elapsed_s(self._agent), self._agent.clock.now()
            )
        except AegisError as error:
            log.info("cycle.failed code=%s", error.code)
            of_worker = error.code.startswith("WORKER_")
            self._history = scheduler.after_fault(
                self._history,
                _elapsed_s(self._agent),
                getattr(error, "retry_after_s", 0),
                of_worker=of_worker,
            )
            if scheduler.gave_up(self._history):
                self._agent.cycles.failed(_gave_up_error(error))
        except Exception:
            # A bug in a cycle must not end the agent: show it as an error and back off.
            log.exception("cycle.broken")
            self._agent.cycles.failed(_INTERNAL)
            self._history = scheduler.after_fault(self._history, _elapsed_s(self._agent))
        finally:
            rechecking.cancel()
        self._agent.signals.changed()

    async def _recheck_regularly(self) -> None:
        """Stop the cycle under way when consent, policy or conditions demand it."""
        while True:
            await asyncio.sleep(RECHECK_S)
            await self._agent.runner.recheck()

    def _watch_machine(self) -> None:
        """Watch the machine's state while a cycle may run: not without consent, nor while paused
        and idle.
        """
        wanted = not self._agent.readiness.blocking_reasons() or (
            self._agent.runner.is_busy and self._agent.gate.denial() is None
        )
        if wanted and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._watch_conditions())
        elif not wanted and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch_conditions(self) -> None:
        try:
            await self._agent.conditions.watch(self._machine_changed)
        except Exception:
            # The next change starts a new watch.
            log.exception("conditions.broken")

    def _machine_changed(self) -> None:
        """A verdict or reading changed: suspend or resume a training at once, and run a cycle that
        waited for it soon.
        """
        self._agent.cycles.enforce()
        is_blocked = bool(self._agent.conditions.may_train() or self._agent.conditions.may_send())
        if self._was_blocked and not is_blocked:
            self._history = scheduler.after_lift(self._history, _elapsed_s(self._agent))
            self._woken.set()
        self._was_blocked = is_blocked
        self._agent.signals.changed()

    async def _refresh_model(self) -> float | None:
        """Without consent: fetch a newer model for scanning, if the person chose so.

        Returns the seconds until the next attempt, None for never.
        """
        if (
            not self._agent.effective.settings().flag("models.update_without_consent")
            or self._agent.effective.enrolment() is None
        ):
            return None
        now = _elapsed_s(self._agent)
        checked_at = self._model_checked_at
        due = now if checked_at is None else checked_at + MODEL_PERIOD_S
        if now >= due:
            self._model_checked_at, due = now, now + MODEL_PERIOD_S
            try:
                await self._agent.enrolment_client.update_model()
            except (AegisError, OSError) as error:
                log.info("model.not_updated error=%s", error)
        return float(due - now)

    def _saved_withdrawal(self, seconds: float | None) -> float | None:
        """Write a withdrawal that the disk did not take into the record; return how long to sleep
        (None: no limit): `seconds`, or a minute until it can be tried again.
        """
        if not self._agent.record.is_behind:
            return seconds
        try:
            self._agent.record.catch_up()
        except AegisError as error:
            log.info("consent.record_behind code=%s", error.code)
            return TICK_S if seconds is None else min(TICK_S, seconds)
        return seconds

    async def _retry_erase(self) -> None:
        """Finish an erasure: try at once, then every POLL_S until nothing is left."""
        now = self._agent.clock.elapsed()
        if self._erase_at is None or now >= self._erase_at:
            self._erase_at = now + scheduler.POLL_S
            try:
                if await self._agent.resume_erasure():
                    self._erase_at = None
            except (AegisError, OSError) as error:
                log.warning("erase.not_resumed error=%s", error)

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until woken, for `seconds` (None: no limit), or until an erasure is due."""
        if self._erase_at is not None:
            left_s = max(0.0, self._erase_at - self._agent.clock.elapsed())
            seconds = left_s if seconds is None else min(seconds, left_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def _user_changed(self) -> None:
        self._history = scheduler.after_change(self._history, _elapsed_s(self._agent))
        is_joining = self._is_joining()
        if is_joining and not self._was_joining:
            self._history = scheduler.after_joining(self._history)
        self._was_joining = is_joining
        self._woken.set()

    def _is_joining(self) -> bool:
        """Whether the next cycle is the one that registers this device."""
        enrolment = self._agent.effective.enrolment()
        return (
            enrolment is not None
            and not enrolment.is_registered
            and self._agent.gate.denial() is None
        )

    def _run_now(self) -> None:
        self._run_requested = True
        self._woken.set()

    def _push_soon(self) -> None:
        if not self._push_scheduled:
            self._push_scheduled = True
            asyncio.get_running_loop().call_later(STATUS_DELAY_S, self._push)

    def _push(self) -> None:
        self._push_scheduled = False
        self._channel.push()


def _handle_signals(*, end: Callable[[], None], replaced: Callable[[], None]) -> None:
    """Call `end` where the system or a terminal ends the process, and `replaced` on SIGUSR1, with
    which an installer may say that it has replaced the program.
    """
    handlers = {"SIGINT": end, "SIGTERM": end, "SIGHUP": end, "SIGUSR1": replaced}
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is signal.SIG_IGN:  # as `nohup` sets it
            continue
        # Neither Windows nor a thread other than the main one offers this.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(number, handler)


def _elapsed_s(agent: Agent) -> int:
    """Return the time that waits are measured by."""
    return int(agent.clock.elapsed())
