"""Watches the machine for one agent, by signals where there are any and else every SAMPLE_S.

Nothing is opened or read outside `poll` and `watch`, and only readings that can change a verdict
(`evaluate.required_readings`) are taken at all.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import tzinfo
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.conditions import evaluate
from agent.conditions.hysteresis import Hysteresis
from agent.conditions.limits import ConditionLimits
from agent.conditions.probes import Probes, native_probes
from agent.conditions.readings import Reading, Readings, Snapshot, attempt, unknown
from agent.conditions.sleep import SleepTracker
from agent.reasons import Reason
from agent.status import ReadingView

SAMPLE_S = 15.0
MIN_REST_S = 1.0
"""Between two samples, however soon the next change is due."""
_NO_SOURCE: Reading[Any] = unknown("no source on this system")
_NOT_NEEDED: Reading[Any] = unknown("not needed for your settings")


class Monitor:
    """The conditions of this machine (agent.conditions.interface.Conditions)."""

    def __init__(
        self,
        limits: Callable[[], ConditionLimits],
        clock: Clock,
        home: Path,
        environ: Mapping[str, str],
        server_is_here: Callable[[], bool] = lambda: False,
        *,
        own_cpu_s: Callable[[], float] = time.process_time,
        probes: Callable[[Mapping[str, str]], Probes] = native_probes,
        others_cpu: Callable[[], Reading[float]] | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        """`server_is_here`: whether the server runs on this computer, so that the state of the
        network does not matter. `own_cpu_s`: processor seconds of this process and its workers.
        `others_cpu` replaces the measurement of the load. `zone` None: that of this computer.
        """
        self._limits = limits
        self._clock = clock
        self._home = home
        self._environ = environ
        self._server_is_here = server_is_here
        self._make_probes = probes
        self._others_cpu = others_cpu
        self._own_cpu_s = own_cpu_s
        self._zone = zone
        self._probes: Probes | None = None
        """None: not open."""
        self._note = ""
        self._readings: Readings | None = None
        """None: nothing was read yet, so there is nothing to judge."""
        self._hysteresis = Hysteresis()
        self._polled: Snapshot = {}
        """Readings of `_polls`, which no signal renews."""
        self._sleep = SleepTracker(clock)
        self._reported: object = None
        self._changed: Callable[[], None] = lambda: None
        self._resample = asyncio.Event()
        self._watch_lock = asyncio.Lock()
        """One watch at a time: the next opens when the last has closed."""
        self._probes_lock = asyncio.Lock()
        """Only one task at a time opens, samples or closes the probes."""

    def may_train(self) -> tuple[Reason, ...]:
        """Return the reasons against training, in order; none before the first reading."""
        if self._readings is None:
            return ()
        return evaluate.may_train(
            self._readings,
            self._hysteresis,
            self._limits(),
            self._clock.now(),
            self._zone,
            self._sleep.reasons(),
        ).reasons

    def may_send(self) -> tuple[Reason, ...]:
        """Return the network's reasons against sending; none if the server is on this computer."""
        if self._readings is None or self._server_is_here():
            return ()
        return evaluate.may_send(self._readings, self._limits()).reasons

    def cpu_percent(self) -> int | None:
        """Return the processor limit for training now, in per cent of one core."""
        if self._readings is None:
            return None
        return evaluate.cpu_percent(self._readings, self._limits())

    def readings(self) -> tuple[ReadingView, ...]:
        """Return all readings with their sources; none before the first poll."""
        if self._readings is None:
            return ()
        return tuple(
            ReadingView(name, str(reading), reading.source)
            for name, reading in self._readings.named()
        )

    def note(self) -> str:
        """Say why the readings of this system are unreliable; empty when they are not."""
        return self._note

    async def poll(self) -> None:
        """Read everything once, unless `watch` has already done so."""
        async with self._probes_lock:
            if self._probes is not None:
                if self._readings is None:
                    await self._sample()
                return
            await self._open()
            try:
                await self._sample()
            finally:
                await self._close()

    async def watch(self, changed: Callable[[], None]) -> None:
        """Read until cancelled. Then the readings are dropped: they would go stale."""
        async with self._watch_lock:
            self._changed = changed
            try:
                async with self._probes_lock:
                    await self._open()
                while True:
                    async with self._probes_lock:
                        await self._sample()
                    await self._rest()
            finally:
                self._changed = lambda: None
                # Before waiting for the lock: what a poll reads from here on is kept.
                self._readings = self._reported = None
                async with self._probes_lock:
                    await self._close()

    async def _open(self) -> None:
        if self._others_cpu is None:
            from agent.conditions.load import OthersLoad

            self._others_cpu = OthersLoad(self._own_cpu_s).read
        self._probes = self._make_probes(self._environ)
        self._note = self._probes.note
        await self._probes.open(self._on_signal)

    async def _close(self) -> None:
        probes, self._probes = self._probes, None
        if probes is not None:
            await probes.close()

    async def _rest(self) -> None:
        """Wait for the next sample, or for the time at which a verdict changes by itself."""
        change_s = evaluate.next_change_s(
            self._readings or Readings(), self._hysteresis, self._limits(), self._clock.now()
        )
        rest_s = SAMPLE_S if change_s is None else min(SAMPLE_S, max(MIN_REST_S, change_s))
        self._resample.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._resample.wait()

    async def _sample(self) -> None:
        """Read what sends no signals."""
        assert self._probes is not None  # noqa: S101 - opened before
        limits = self._limits()
        required = evaluate.required_readings(limits)
        await self._probes.poll(required, limits.idle_s)
        self._sleep.check_clocks()
        self._polled = {
            name: attempt(read, name) for name, read in self._polls().items() if name in required
        }
        self._apply(required)

    def _on_signal(self) -> None:
        """Apply at once what a signal has changed."""
        # A signal during `open` or after `close` has no readings to add to.
        if self._probes is None or self._readings is None:
            return
        self._sleep.announce(is_going_to_sleep=self._probes.is_going_to_sleep())
        self._apply(evaluate.required_readings(self._limits()))
        self._resample.set()

    def _apply(self, required: frozenset[str]) -> None:
        """Take over the new readings, and report a change of a verdict or a yes/no reading."""
        if self._probes is None:  # closed during a poll
            return
        snapshot = {**self._polled, **self._probes.snapshot()}
        self._readings = Readings(
            **{
                field.name: snapshot.get(field.name, _NO_SOURCE)
                if field.name in required
                else _NOT_NEEDED
                for field in fields(Readings)
            }
        )
        self._hysteresis = self._hysteresis.update(
            self._readings, self._limits(), self._clock.now()
        )
        reported = self._summary()
        if reported != self._reported:
            self._reported = reported
            self._changed()

    def _summary(self) -> object:
        """Return what counts as a change for somebody who watches the status.

        Numbers such as the load differ at every sample and are left out.
        """
        verdicts = tuple(
            (reason.code, reason.until) for reason in (*self.may_train(), *self.may_send())
        )
        answers = tuple(
            reading.value
            for _, reading in (self._readings or Readings()).named()
            if isinstance(reading.value, bool | None)
        )
        return verdicts, answers, self.cpu_percent()

    def _polls(self) -> dict[str, Callable[[], Reading[float]]]:
        """Readings that are alike on all systems."""
        from agent.conditions import load

        return {
            "others_cpu": self._others_cpu or (lambda: unknown("not measured yet")),
            "memory_free": load.read_memory,
            "disk_free": lambda: load.read_disk(self._home),
            "temperature": load.read_temperature,
        }
