"""Load, memory, disk and temperature, by psutil and the kernel's own files."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from agent.conditions.readings import Reading, unknown

MIN_WINDOW_S = 1.0
_SENSORS = (
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "cpu-thermal",
    "acpitz",
    "soc_thermal",
)
"""Drivers that tell the processor's temperature, best first."""


class OthersLoad:
    """Processor use of everybody but us between two calls, per cent of the whole computer.

    Our own use is what `ours_s` says, processor seconds that never fall: this process and its
    workers. Nice time of others counts.
    """

    def __init__(self, ours_s: Callable[[], float]) -> None:
        self._ours_s = ours_s
        self._before: tuple[float, float, float] | None = None

    def read(self) -> Reading[float]:
        """Since the last call; unknown at the first."""
        now, times, ours = time.monotonic(), psutil.cpu_times(), self._ours_s()
        busy = (
            sum(times)
            - times.idle
            - getattr(times, "iowait", 0.0)
            - getattr(times, "guest", 0.0)
            - getattr(times, "guest_nice", 0.0)
        )
        before, self._before = self._before, (now, busy, ours)
        if before is None or now - before[0] < MIN_WINDOW_S:
            self._before = before or self._before
            return unknown("needs two looks")
        passed = (now - before[0]) * (os.cpu_count() or 1)
        percent = 100 * ((busy - before[1]) - (ours - before[2])) / passed
        return Reading(min(max(percent, 0.0), 100.0), "kernel counters, ours left out", "%")


def read_memory() -> Reading[float]:
    """Memory that programs could still get."""
    return Reading(psutil.virtual_memory().available / 2**20, "psutil", "MiB")


def read_disk(folder: Path) -> Reading[float]:
    """Free space where the agent keeps its home."""
    return Reading(shutil.disk_usage(folder).free / 2**20, "file system of the home", "MiB")


def read_temperature() -> Reading[float]:
    """The hottest value of the processor's sensor."""
    if not hasattr(psutil, "sensors_temperatures"):
        return unknown("not available on this system")
    sensors = psutil.sensors_temperatures()
    for name in _SENSORS:
        values = [sensor.current for sensor in sensors.get(name, ()) if 0 < sensor.current < 150]
        if values:
            return Reading(max(values), name, "°C")
    return unknown("not available: no sensor of the processor")
