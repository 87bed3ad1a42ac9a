"""Reads load, memory, disk and temperature through psutil."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.conditions.readings import Reading, unknown
from agent.paths import existing_folder

MIN_WINDOW_S = 1.0
"""The kernel counts in ticks of 10 ms; over less time they say little."""
_SENSORS = (
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "cpu-thermal",
    "acpitz",
    "soc_thermal",
)
"""Drivers that measure the processor's temperature, best first."""


class OthersLoad:
    """The processor use of all other programs, in per cent of the whole computer.

    It includes programs of low priority: they too would have to share the processor with us.
    """

    def __init__(self, own_cpu_s: Callable[[], float]) -> None:
        """`own_cpu_s`: processor seconds of this process and its workers; must never fall."""
        self._own_cpu_s = own_cpu_s
        self._last: _Times | None = None

    def read(self) -> Reading[float]:
        """Return the use since the last reading; unknown at the first."""
        now = _Times(time.monotonic(), _busy_s(), self._own_cpu_s())
        if self._last is None:
            self._last = now
            return unknown("needs two polls")
        last = self._last
        if now.monotonic - last.monotonic < MIN_WINDOW_S:
            return unknown("needs two polls")
        self._last = now
        total_s = (now.monotonic - last.monotonic) * (os.cpu_count() or 1)
        others_s = (now.busy_s - last.busy_s) - (now.own_s - last.own_s)
        percent = 100 * others_s / total_s
        return Reading(min(max(percent, 0.0), 100.0), "kernel counters, without AegisAI", "%")


@dataclass(frozen=True)
class _Times:
    monotonic: float
    busy_s: float
    own_s: float


def _busy_s() -> float:
    """Return the seconds that all processors have worked since the start of the system.

    Linux counts the time of virtual machines twice: as user time and as guest time.
    """
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    counted_twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - counted_twice)


def read_memory() -> Reading[float]:
    """Return the memory that programs can still take without swapping."""
    return Reading(psutil.virtual_memory().available / 2**20, "psutil", "MiB")


def read_disk(folder: Path) -> Reading[float]:
    """Return the free space of the file system that holds the agent's home."""
    free = shutil.disk_usage(existing_folder(folder)).free
    return Reading(free / 2**20, "file system of the home", "MiB")


def read_temperature() -> Reading[float]:
    """Return the highest value of the processor's best sensor."""
    if not hasattr(psutil, "sensors_temperatures"):
        return unknown("not available on this system")
    sensors = psutil.sensors_temperatures()
    for name in _SENSORS:
        values = [sensor.current for sensor in sensors.get(name, ()) if 0 < sensor.current < 150]
        if values:
            return Reading(max(values), name, "°C")
    return unknown("not available: the processor has no sensor")
