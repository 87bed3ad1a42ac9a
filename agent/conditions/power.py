"""Power and charge on Linux, read from the kernel's power-supply class
(Documentation/ABI/testing/sysfs-class-power).

1. A battery counts unless `scope` is Device: that is a mouse, a headset, a pen.
2. Any supply of type Mains or USB* with `online` 1 means plugged; one that says 0 means not plugged
   by that plug.
3. No plug says anything: the batteries' `status` decides. Discharging means battery; Charging,
   Full, Not charging mean plugged.
4. No battery at all: a desktop, plugged. A UPS that discharges means battery.
5. Charge is the sum of what all batteries hold over the sum of what they can hold.
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
        """An attribute; empty when it is absent or the driver fails to answer."""
        try:
            return (self.folder / name).read_text(errors="replace").strip().lower()
        except OSError:
            return ""

    def number(self, *names: str) -> float | None:
        """The first of the attributes that holds a number."""
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
        return (self.text("type") == "mains" or self.text("type").startswith("usb")) and self.text(
            "scope"
        ) != "device"


def read_power(root: Path = SYSTEM_ROOT) -> tuple[Reading[bool], Reading[float]]:
    """(on mains, charge in %) as the rules above say."""
    try:
        supplies = [_Supply(folder) for folder in sorted(root.iterdir())[:MAX_SUPPLIES]]
    except OSError as error:
        return unknown(f"{root}: {error.strerror}"), unknown("no power-supply class")
    batteries = [supply for supply in supplies if supply.is_battery]
    return _on_mains(supplies, batteries), _charge(batteries)


def _on_mains(supplies: list[_Supply], batteries: list[_Supply]) -> Reading[bool]:
    plugs = {supply.folder.name: supply.number("online") for supply in supplies if supply.is_plug}
    plugged = [name for name, online in plugs.items() if online]
    ups = [
        supply
        for supply in supplies
        if supply.text("type") == "ups" and supply.text("scope") != "device"
    ]
    if any(supply.text("status") == "discharging" for supply in ups):
        return Reading(False, f"UPS {ups[0].folder.name} discharges")
    if plugged:
        return Reading(True, f"{plugged[0]} online")
    if not batteries:
        return Reading(True, "no battery")
    said = {supply.text("status") for supply in batteries}
    if "discharging" in said:
        return Reading(False, f"{batteries[0].folder.name} discharges")
    if any(online == 0 for online in plugs.values()):
        return Reading(False, f"{next(iter(plugs))} offline")
    if said & _PLUGGED:
        return Reading(True, f"{batteries[0].folder.name} {sorted(said & _PLUGGED)[0]}")
    return unknown("the battery does not say whether it discharges")


def _charge(batteries: list[_Supply]) -> Reading[float]:
    if not batteries:
        return unknown("no battery")
    names = ", ".join(supply.folder.name for supply in batteries)
    held = [
        (supply.number("energy_now"), supply.number("energy_full", "energy_full_design"))
        for supply in batteries
    ]
    if not all(now is not None and full for now, full in held):
        held = [
            (supply.number("charge_now"), supply.number("charge_full", "charge_full_design"))
            for supply in batteries
        ]
    if all(now is not None and full for now, full in held):
        percent = 100 * sum(now or 0 for now, _ in held) / sum(full or 0 for _, full in held)
        return Reading(min(max(percent, 0.0), 100.0), names, "%")
    told = [supply.number("capacity") for supply in batteries]
    said = [percent for percent in told if percent is not None and 0 <= percent <= 100]
    if said:
        return Reading(sum(said) / len(said), names, "%")
    return unknown(f"{names}: no charge is told")
