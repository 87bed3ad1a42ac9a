"""Watches the machine for one agent: signals where the system sends them, a look every SAMPLE_S
where it does not.

Nothing is opened or read outside `look` and `watch`, and only what could change a verdict
(`evaluate.wanted`) is read at all.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import tzinfo
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from agent.clock import Clock, slept
from agent.conditions import evaluate
from agent.conditions.evaluate import ConditionLimits, Hysteresis
from agent.conditions.polling import PollingProbes
from agent.conditions.readings import Reading, Readings, Told, attempt, unknown
from agent.reasons import Reason, ReasonCode
from agent.status import ReadingView

SAMPLE_S = 15.0
SOONEST_S = 1.0
SETTLE_S = 120
"""After waking from sleep nothing is trained for so long."""


class Probes(Protocol):
    """What one operating system tells about its user, its session and its network."""

    note: str
    """"" or why what it says is not to be relied upon."""

    async def open(self, changed: Callable[[], None]) -> None:
        """Connect to what sends signals; `changed` is called in the event loop.

        Never raises: what is missing stays unknown.
        """

    async def look(self, wanted: frozenset[str], idle_s: int) -> None:
        """Ask for what sends no signals. `idle_s`: the idle time that matters."""

    def told(self) -> Told:
        """What is known now, by the names of Readings; what is missing is unknown."""

    def sleeps(self) -> bool:
        """Whether the machine is going to sleep just now."""

    async def close(self) -> None: ...


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
        ours_s: Callable[[], float] = time.process_time,
        probes: Callable[[Mapping[str, str]], Probes] | None = None,
        others: Callable[[], Reading[float]] | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        """`server_is_here`: no network is used, so its state does not matter. `ours_s`: processor
        seconds of this program and its workers.

        `zone` None: the zone of this computer.
        """
        self._limits = limits
        self._clock = clock
        self._home = home
        self._environ = environ
        self._server_is_here = server_is_here
        self._make_probes = probes or _probes_here
        self._others = others
        self._ours_s = ours_s
        self._zone = zone
        self._probes: Probes | None = None
        self._note = ""
        self._readings: Readings | None = None
        """None: nothing was read, so nothing is said."""
        self._memory = Hysteresis()
        self._polled: Told = {}
        self._asleep = False
        self._woke_at: int | None = None
        self._clocks = (clock.now(), clock.monotonic())
        self._shown: object = None
        self._changed: Callable[[], None] = lambda: None
        self._soon = asyncio.Event()
        self._watcher = asyncio.Lock()
        """One watch at a time: the next opens when the last has closed."""
        self._turn = asyncio.Lock()
        """Nobody opens, samples or closes while another does."""

    def may_train(self) -> tuple[Reason, ...]:
        """Reasons against training, worst first; none when nothing was read yet."""
        if self._readings is None:
            return ()
        now = self._clock.now()
        return evaluate.may_train(
            self._readings, self._memory, self._limits(), now, self._zone, self._sleep(now)
        ).reasons

    def may_send(self) -> tuple[Reason, ...]:
        """Reasons against sending: the network's, unless the server runs on this computer."""
        if self._readings is None or self._server_is_here():
            return ()
        return evaluate.may_send(self._readings, self._limits()).reasons

    def cpu_percent(self) -> int | None:
        """The limit that holds now, per cent of one core."""
        return (
            None if self._readings is None else evaluate.cpu_percent(self._readings, self._limits())
        )

    def readings(self) -> tuple[ReadingView, ...]:
        """All of them with their sources; empty when nothing was read."""
        if self._readings is None:
            return ()
        return tuple(
            ReadingView(name, str(reading), reading.source)
            for name, reading in self._readings.named()
        )

    def note(self) -> str:
        """Why what this system tells is not to be relied upon, or nothing."""
        return self._note

    async def look(self) -> None:
        """Read everything once, unless `watch` has."""
        async with self._turn:
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
        """Read until cancelled; afterwards nothing is known any more."""
        async with self._watcher:
            self._changed = changed
            try:
                async with self._turn:
                    await self._open()
                while True:
                    async with self._turn:
                        await self._sample()
                    await self._rest()
            finally:
                self._changed = lambda: None
                self._readings, self._shown = (
                    None,
                    None,
                )  # at once: what a look reads from here on stays
                async with self._turn:
                    await self._close()

    async def _open(self) -> None:
        if self._others is None:
            from agent.conditions.load import OthersLoad

            self._others = OthersLoad(self._ours_s).read
        self._probes = self._make_probes(self._environ)
        self._note = self._probes.note
        await self._probes.open(self._told)

    async def _close(self) -> None:
        probes, self._probes = self._probes, None
        if probes is not None:
            await probes.close()

    async def _rest(self) -> None:
        """Until the next sample is due, or a verdict that the clock alone changes."""
        readings = self._readings or Readings()
        soon = evaluate.next_look_s(readings, self._memory, self._limits(), self._clock.now())
        self._soon.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(
                min(SAMPLE_S, max(SOONEST_S, soon if soon is not None else SAMPLE_S))
            ):
                await self._soon.wait()

    async def _sample(self) -> None:
        """Read what sends no signals."""
        assert self._probes is not None  # noqa: S101 - opened before
        limits = self._limits()
        wanted = evaluate.wanted(limits)
        await self._probes.look(wanted, limits.idle_s)
        now, ticks = self._clock.now(), self._clock.monotonic()
        if slept(*self._clocks, now, ticks):
            self._woke_at = now
        self._clocks = (now, ticks)
        self._polled = {
            name: attempt(call, name) for name, call in self._calls().items() if name in wanted
        }
        self._take(wanted)

    def _told(self) -> None:
        """A signal came: what it says counts at once."""
        if self._probes is None or self._readings is None:
            return
        was_asleep, self._asleep = self._asleep, self._probes.sleeps()
        if was_asleep and not self._asleep:
            self._woke_at = self._clock.now()
        self._take(evaluate.wanted(self._limits()))
        self._soon.set()

    def _take(self, wanted: frozenset[str]) -> None:
        """Fold new readings in, and say so where something is another one."""
        if self._probes is None:  # closed meanwhile
            return
        told = {**self._polled, **self._probes.told()}
        self._readings = Readings(
            **{
                field.name: told.get(field.name, _NOBODY_TELLS)
                if field.name in wanted
                else _NOT_NEEDED
                for field in fields(Readings)
            }
        )
        self._memory = evaluate.fold(
            self._memory, self._readings, self._limits(), self._clock.now()
        )
        shown = self._summary()
        if shown != self._shown:
            self._shown = shown
            self._changed()

    def _summary(self) -> object:
        """What somebody who looks at the status would call a change."""
        held = tuple(
            (reason.code, reason.until) for reason in (*self.may_train(), *self.may_send())
        )
        facts = tuple(
            reading.value
            for _, reading in (self._readings or Readings()).named()
            if isinstance(reading.value, bool | None)
        )
        return held, facts, self.cpu_percent()

    def _calls(self) -> dict[str, Callable[[], Reading[float]]]:
        from agent.conditions import load

        return {
            "others_cpu": self._others or (lambda: unknown("not looked at yet")),
            "memory_free": load.read_memory,
            "disk_free": lambda: load.read_disk(self._home),
            "temperature": load.read_temperature,
        }

    def _sleep(self, now: int) -> tuple[Reason, ...]:
        if self._asleep:
            return (Reason(ReasonCode.BACKOFF, "The computer is going to sleep."),)
        if self._woke_at is not None and self._woke_at <= now < self._woke_at + SETTLE_S:
            return (
                Reason(
                    ReasonCode.BACKOFF,
                    "The computer woke up a moment ago.",
                    until=self._woke_at + SETTLE_S,
                ),
            )
        return ()


def _probes_here(environ: Mapping[str, str]) -> Probes:
    name, kind = _SYSTEMS.get(sys.platform, ("", ""))
    probes: Probes = getattr(import_module(name), kind)(environ) if name else PollingProbes()
    return probes


_SYSTEMS = {
    "linux": ("agent.conditions.linux", "LinuxProbes"),
    "win32": ("agent.conditions.windows", "WindowsProbes"),
    "darwin": ("agent.conditions.macos", "MacProbes"),
}
_NOBODY_TELLS: Reading[Any] = unknown("nothing here tells it")
_NOT_NEEDED: Reading[Any] = unknown("not needed for your settings")
