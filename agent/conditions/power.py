"""Reads power and charge on Linux from the kernel's power-supply class
(Documentation/ABI/testing/sysfs-class-power).

1. A battery counts unless its `scope` is Device: that is a mouse, a headset or a pen.
2. A supply of type Mains or USB* with `online` 1 means plugged in; 0 means that this plug is not.
3. If no plug reports anything, the batteries' `status` decides. Discharging means battery;
   Charging, Full and Not charging mean plugged in.
4. No battery at all is a desktop, which is plugged in. A UPS that discharges means battery.
5. The charge is the energy in all batteries over their total capacity.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.conditions.readings import Reading, unknown

SYSTEM_ROOT = Path("/sys/class/power_supply")
MAX_SUPPLIES = 64
_PLUGGED = {"charging", "full", "not charging"}


@dataclass(frozen=True)
class _Supply:
    folder: Path

    def text(self, name: str) -> str:
        """Return an attribute; empty when it is absent or the driver fails to answer."""
        try:
            return (self.folder / name).read_text(errors="replace").strip().lower()
        except OSError:
            return ""

    def number(self, *names: str) -> float | None:
        """Return the first of these attributes that is a number."""
        for name in names:
            try:
                return float(self.text(name))
            except ValueError:
                continue
        return None

    @property
    def is_battery(self) -> bool:
        return (
            self.text("type") == "battery"
            and self.text("scope") != "device"
            and self.text("present") != "0"
        )

    @property
    def is_plug(self) -> bool:
        kind = self.text("type")
        return (kind == "mains" or kind.startswith("usb")) and self.text("scope") != "device"

    @property
    def is_ups(self) -> bool:
        return self.text("type") == "ups" and self.text("scope") != "device"


def read_power(root: Path = SYSTEM_ROOT) -> tuple[Reading[bool], Reading[float]]:
    """Return whether the computer is on mains, and the charge in per cent."""
    try:
        supplies = [_Supply(folder) for folder in sorted(root.iterdir())[:MAX_SUPPLIES]]
    except OSError as error:
        return unknown(f"{root}: {error.strerror}"), unknown("no power-supply class")
    batteries = [supply for supply in supplies if supply.is_battery]
    return _on_mains(supplies, batteries), _charge(batteries)


def _on_mains(supplies: list[_Supply], batteries: list[_Supply]) -> Reading[bool]:
    plugs = {supply.folder.name: supply.number("online") for supply in supplies if supply.is_plug}
    plugged = [name for name, online in plugs.items() if online]
    ups = [supply for supply in supplies if supply.is_ups]
    if any(supply.text("status") == "discharging" for supply in ups):
        return Reading(False, f"UPS {ups[0].folder.name} discharges")
    if plugged:
        return Reading(True, f"{plugged[0]} online")
    if not batteries:
        return Reading(True, "no battery")
    statuses = {supply.text("status") for supply in batteries}
    if "discharging" in statuses:
        return Reading(False, f"{batteries[0].folder.name} discharges")
    if any(online == 0 for online in plugs.values()):
        return Reading(False, f"{next(iter(plugs))} offline")
    if statuses & _PLUGGED:
        return Reading(True, f"{batteries[0].folder.name} {sorted(statuses & _PLUGGED)[0]}")
    return unknown("the battery does not report whether it discharges")


def _charge(batteries: list[_Supply]) -> Reading[float]:
    if not batteries:
        return unknown("no battery")
    names = ", ".join(supply.folder.name for supply in batteries)
    # Drivers count energy (µWh) or charge (µAh), and not every driver offers both.
    for now, full in (("energy_now", "energy_full"), ("charge_now", "charge_full")):
        if (percent := _percent(batteries, now, full)) is not None:
            return Reading(percent, names, "%")
    capacities = [supply.number("capacity") for supply in batteries]
    valid = [percent for percent in capacities if percent is not None and 0 <= percent <= 100]
    if valid:
        return Reading(sum(valid) / len(valid), names, "%")
    return unknown(f"{names}: the driver reports no charge")


def _percent(batteries: list[_Supply], now: str, full: str) -> float | None:
    """Return the charge of all batteries together; None unless each has both attributes."""
    stored = [supply.number(now) for supply in batteries]
    capacity = [supply.number(full, f"{full}_design") for supply in batteries]
    if None in stored or not all(capacity):
        return None
    percent = 100 * sum(part or 0 for part in stored) / sum(part or 0 for part in capacity)
    return min(max(percent, 0.0), 100.0)
