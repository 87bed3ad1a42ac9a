"""Keeps verdicts from flapping: a state is left at another value, or later, than it is entered.
Pure.

A reading that trembles at its limit would otherwise stop and start training every few seconds, and
each start costs a worker process.
"""

from dataclasses import dataclass

from agent.conditions.limits import ConditionLimits
from agent.conditions.readings import Readings

CALM_S = 30
"""Two sample periods without load by others, or on mains, before training resumes."""
COOLER_BY_C = 5
"""Training resumes this far below the temperature that stopped it."""
RESERVE_MIB = 256
"""Memory that must stay free beside what training may take; also the distance between the values
that stop and start training."""
MIN_DISK_MIB = 200
DISK_AGAIN_MIB = 300


@dataclass(frozen=True)
class Hysteresis:
    """The states that the readings have entered and not yet left."""

    battery_low: bool = False
    hot: bool = False
    low_memory: bool = False
    low_disk: bool = False
    busy_until: int = 0
    """Seconds since the epoch: the end of the wait after other programs were last busy."""
    battery_until: int = 0
    """The same after the computer last ran on battery."""

    def update(self, readings: Readings, limits: ConditionLimits, now: int) -> "Hysteresis":
        """Return the states after these readings. Unknown readings enter no state, and leave it."""
        busy_percent = readings.others_cpu.value
        is_busy = busy_percent is not None and busy_percent > limits.busy_percent
        return Hysteresis(
            battery_low=self._is_battery_low(readings.charge.value, limits),
            hot=_is_above(
                readings.temperature.value,
                was_above=self.hot,
                enter=limits.stop_c,
                leave=limits.stop_c - COOLER_BY_C,
            ),
            low_memory=_is_below(
                readings.memory_free.value,
                was_below=self.low_memory,
                enter=limits.memory_mib + RESERVE_MIB,
                leave=limits.memory_mib + 2 * RESERVE_MIB,
            ),
            low_disk=_is_below(
                readings.disk_free.value,
                was_below=self.low_disk,
                enter=MIN_DISK_MIB,
                leave=DISK_AGAIN_MIB,
            ),
            busy_until=_wait(self.busy_until, now, restart=is_busy),
            battery_until=_wait(self.battery_until, now, restart=readings.on_mains.value is False),
        )

    def _is_battery_low(self, charge: float | None, limits: ConditionLimits) -> bool:
        if charge is None:
            return False
        # Settings that cross (start below stop) still leave a gap of one per cent.
        enough = max(limits.battery_start_above, limits.battery_stop_below + 1)
        return charge < limits.battery_stop_below or (self.battery_low and charge <= enough)


def _wait(until: int, now: int, *, restart: bool) -> int:
    """Return when a wait ends. A clock that was set back must not extend it, hence the bound."""
    return now + CALM_S if restart else min(until, now + CALM_S)


def _is_above(value: float | None, *, was_above: bool, enter: float, leave: float) -> bool:
    return value is not None and (value >= enter or (was_above and value > leave))


def _is_below(value: float | None, *, was_below: bool, enter: float, leave: float) -> bool:
    return value is not None and (value < enter or (was_below and value < leave))
