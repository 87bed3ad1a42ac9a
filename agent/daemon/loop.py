"""A running agent: the channel, the scheduler's loop and the end. `aegis run` is this.

Without a live consent there is no timer at all: the loop sleeps until somebody says something. With
one, it looks at the clock at most every TICK_S, because wall time may jump while the machine
sleeps.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from contextlib import suppress

from agent.clock import set_back, slept
from agent.container import Agent
from agent.daemon import scheduler
from agent.errors import AegisError, InternalError
from agent.ipc.client import socket_path
from agent.ipc.server import ChannelServer
from agent.rounds.runner import MANUAL_GROUP_WAIT_S

log = logging.getLogger(__name__)

TICK_S = 60.0
WATCH_S = 5.0
"""How often a pass under way is compared with consent and conditions; withdrawing and pausing do
not wait for it."""
MODEL_PERIOD_S = 24 * 3600
STATUS_DELAY_S = 0.1
"""Changes that come together are pushed together."""


_INTERNAL = InternalError("INTERNAL", "Something went wrong inside AegisAI.", "See the log.")


def _given_up(error: AegisError) -> AegisError:
    return InternalError(
        "GAVE_UP",
        f"Training failed {scheduler.GIVE_UP_AFTER} times in a row ({error.message}), so AegisAI"
        " stopped trying for a day.",
        "aegis run-now tries at once; aegis doctor shows what works here.",
    )


class Loop:
    """Runs one agent until it is asked to quit."""

    def __init__(self, agent: Agent, draw: Callable[[], float] = random.random) -> None:
        self._agent = agent
        self._draw = draw
        self._woken = asyncio.Event()
        self._quit = asyncio.Event()
        self._once_more = False
        self._push_waits = False
        self._model_looked_at: int | None = None
        self._erase_at: float | None = None
        """When what an erase left is tried again (monotonic); None: nothing is known to be left."""
        self._watching: asyncio.Task[None] | None = None
        self._was_held = False
        self._was_joining = self._is_joining()
        self._history = scheduler.History(agent.clock.now())
        self._channel = ChannelServer(
            socket_path(agent.home.root, agent.environ),
            agent.service.call,
            lambda: agent.status().to_json(),
        )
        agent.signals.connect_loop(run_now=self._run_now, request_quit=self._quit.set)
        agent.signals.on_user_change(self._changed_by_a_person)
        agent.signals.on_change(self._push_soon)

    async def run(self) -> None:
        """Serve until quit or a signal. Raises UserActionError CHANNEL_UNSAFE."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(
                NotImplementedError, RuntimeError, ValueError
            ):  # not on Windows, nor off the main thread
                loop.add_signal_handler(number, self._quit.set)
        await self._channel.open()
        self._agent.signals.on_change(self._watch_machine)
        self._watch_machine()
        log.info("agent.started")
        passes = asyncio.create_task(self._always())
        quitting = asyncio.create_task(self._quit.wait())
        try:
            done, _ = await asyncio.wait({passes, quitting}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (passes, quitting, *([self._watching] if self._watching else [])):
                task.cancel()
            await self._agent.runner.quit()
            await self._agent.worker_host.worker().stop()
            await self._channel.close()
            log.info("agent.stopped")

    async def _always(self) -> None:
        """Passes without end: whatever fails between two of them (a full disk, a bug) is logged,
        shown and tried again.
        """
        while True:
            try:
                await self._passes()
            except Exception as error:
                log.exception("loop.broken")
                shown = error if isinstance(error, AegisError) else _INTERNAL
                self._agent.cycles.failed(shown)
                await self._sleep(TICK_S)

    async def _passes(self) -> None:
        draw = self._draw()
        wall, monotonic = self._agent.clock.now(), self._agent.clock.monotonic()
        while True:
            await self._retry_erase()
            now, ticks = self._agent.clock.now(), self._agent.clock.monotonic()
            if set_back(wall, monotonic, now, ticks):
                self._clock_set_right(now)
            elif slept(wall, monotonic, now, ticks):
                self._history = scheduler.after_wake(self._history, now)
            wall, monotonic = now, ticks
            if self._agent.gate.denial() is not None:
                self._agent.cycles.next_at = None
                await self._sleep(await self._refresh_model())
                self._history = scheduler.after_wake(self._history, self._agent.clock.now())
                continue
            due = scheduler.next_at(self._history, draw)
            self._agent.cycles.next_at = due
            if not self._once_more and due > now:
                await self._sleep(min(TICK_S, due - now))
                continue
            await self._one_pass()
            draw = self._draw()

    def _clock_set_right(self, now: int) -> None:
        """Nothing noted by a clock that was ahead may be waited for; the hold of a finished update
        begins again.
        """
        self._history, self._model_looked_at = scheduler.after_set_back(self._history, now), None
        self._agent.runner.updates.restart_hold()

    async def _one_pass(self) -> None:
        chosen, self._once_more = self._once_more, False
        hold_s = 0 if chosen else self._agent.effective.settings().integer("hold.minutes") * 60
        now = self._agent.clock.now
        watching = asyncio.create_task(self._watch())
        try:
            result = await self._agent.cycles.run(
                hold_s=hold_s, override=chosen, group_wait_s=MANUAL_GROUP_WAIT_S if chosen else 0
            )
            log.info("pass.done outcome=%s", result.outcome.value)
            self._history = scheduler.after_pass(self._history, result, now())
        except AegisError as error:
            log.info("pass.failed code=%s", error.code)
            of_worker = error.code.startswith("WORKER_")
            self._history = scheduler.after_fault(
                self._history, now(), getattr(error, "retry_after_s", 0), of_worker=of_worker
            )
            if scheduler.gave_up(self._history):
                self._agent.cycles.failed(_given_up(error))
        except (
            Exception
        ):  # a bug in a pass must not end the agent; it shows as an error and backs off
            log.exception("pass.broken")
            self._agent.cycles.failed(_INTERNAL)
            self._history = scheduler.after_fault(self._history, now())
        finally:
            watching.cancel()
        self._agent.signals.changed()

    async def _watch(self) -> None:
        """While a pass is under way: stop it when consent, policy or the conditions say so."""
        while True:
            await asyncio.sleep(WATCH_S)
            await self._agent.runner.recheck()

    def _watch_machine(self) -> None:
        """Read the machine's state while something may run, and only then: not without consent, nor
        while paused and at rest.
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
        except Exception:  # a bug there must not go unseen; the next change begins a new watch
            log.exception("conditions.broken")

    def _machine_changed(self) -> None:
        """A verdict or a reading is another one: a running training is held or let go at once; a
        pass that waited for it comes soon.
        """
        self._agent.cycles.enforce()
        is_held = bool(self._agent.conditions.may_train() or self._agent.conditions.may_send())
        if self._was_held and not is_held:
            self._history = scheduler.after_lift(self._history, self._agent.clock.now())
            self._woken.set()
        self._was_held = is_held
        self._agent.signals.changed()

    async def _refresh_model(self) -> float | None:
        """Without consent: newer models for scanning, if the person chose so.

        Seconds until it is worth looking again, None for never.
        """
        if (
            not self._agent.effective.settings().flag("models.update_without_consent")
            or self._agent.effective.enrolment() is None
        ):
            return None
        now = self._agent.clock.now()
        due = (self._model_looked_at or 0) + MODEL_PERIOD_S
        if now >= due:
            self._model_looked_at, due = now, now + MODEL_PERIOD_S
            try:
                await self._agent.enrolment_client.update_model()
            except (AegisError, OSError) as error:
                log.info("model.not_updated error=%s", error)
        return float(due - now)

    async def _retry_erase(self) -> None:
        """What an erase had to leave: at once, then every POLL_S until nothing is left."""
        now = self._agent.clock.monotonic()
        if self._erase_at is None or now >= self._erase_at:
            self._erase_at = now + scheduler.POLL_S
            try:
                if await self._agent.resume_erasure():
                    self._erase_at = None
            except (AegisError, OSError) as error:
                log.warning("erase.not_resumed error=%s", error)

    async def _sleep(self, seconds: float | None) -> None:
        """Until woken, for `seconds`, or until an erase is tried again."""
        if self._erase_at is not None:
            left_s = max(0.0, self._erase_at - self._agent.clock.monotonic())
            seconds = left_s if seconds is None else min(seconds, left_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def _changed_by_a_person(self) -> None:
        self._history = scheduler.after_change(self._history, self._agent.clock.now())
        is_joining = self._is_joining()
        if is_joining and not self._was_joining:
            self._history = scheduler.after_joining(self._history)
        self._was_joining = is_joining
        self._woken.set()

    def _is_joining(self) -> bool:
        """Whether the next pass is the one that registers this device."""
        enrolment = self._agent.effective.enrolment()
        return (
            enrolment is not None
            and not enrolment.is_registered
            and self._agent.gate.denial() is None
        )

    def _run_now(self) -> None:
        self._once_more = True
        self._woken.set()

    def _push_soon(self) -> None:
        if not self._push_waits:
            self._push_waits = True
            asyncio.get_running_loop().call_later(STATUS_DELAY_S, self._push)

    def _push(self) -> None:
        self._push_waits = False
        self._channel.push()
