"""Reads power and charge on Linux from the kernel's power-supply class
(Documentation/ABI/testing/sysfs-class-power).

`read_tree` reads the files; `on_mains` and `charge` decide from what it read. Each rule names a
machine on which the next one alone would be wrong:

1. A battery counts unless its `scope` is Device, its bay is empty, or, where the driver names no
   scope, its name is that of an input device: a mouse, a headset or a pen powers no computer.
2. A UPS that discharges means battery: the mains are gone, whatever the plugs behind it say.
3. A computer without a battery is a desktop, which is plugged in.
4. A mains adapter or a wireless charger with `online` 1 means plugged in, even if the battery
   discharges: the charger is weak.
5. A battery that discharges means battery. A USB port with `online` 1 does not outweigh it: the
   port may just as well be feeding a phone, and the battery drains either way.
6. A battery that charges, is full or holds its charge proves that something powers the computer,
   even where every plug reads 0: some firmware never reports USB-C ports.
7. A USB port with `online` 1 means plugged in.
8. Otherwise a plug with `online` 0 means battery, and without any the answer is unknown.

The charge is the energy in all batteries over their total capacity.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.conditions.readings import Reading, unknown

SYSTEM_ROOT = Path("/sys/class/power_supply")
MAX_SUPPLIES = 64
ATTRIBUTES = (
    "type",
    "scope",
    "present",
    "status",
    "online",
    "capacity",
    *(f"{unit}_{part}" for unit in ("energy", "charge") for part in ("now", "full", "full_design")),
)
INPUT_DEVICES = (
    "hid-", "hidpp_", "wacom_", "sony_controller_", "ps-controller-", "nintendo_", "wiimote_",
    "steam-controller-", "xpad",
)  # fmt: skip
"""How the kernel's drivers of mice, keyboards, pens and game controllers name their batteries."""
_POWERED = {"charging", "full", "not charging"}


@dataclass(frozen=True)
class Supply:
    """One power supply: its attributes in lower case; an absent one is missing."""

    name: str
    attributes: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.attributes.get(name, "")

    def number(self, *names: str) -> float | None:
        """Return the first of these attributes that is a number."""
        for name in names:
            try:
                value = float(self.text(name))
            except ValueError:
                continue
            if math.isfinite(value):
                return value
        return None

    @property
    def is_online(self) -> bool:
        return bool(self.number("online"))

    @property
    def is_own(self) -> bool:
        """Whether it powers this computer, not a device that is connected to it."""
        scope = self.text("scope")
        return scope != "device" and (
            scope == "system" or not self.name.lower().startswith(INPUT_DEVICES)
        )

    @property
    def is_battery(self) -> bool:
        return self.is_own and self.text("type") == "battery" and self.text("present") != "0"

    @property
    def is_charger(self) -> bool:
        """Whether it can only bring power into the computer."""
        return self.is_own and self.text("type") in ("mains", "wireless")

    @property
    def is_usb(self) -> bool:
        """Whether it is a port that power may also leave through."""
        return self.is_own and self.text("type").startswith(("usb", "brickid"))

    @property
    def is_ups(self) -> bool:
        return self.is_own and self.text("type") == "ups"


def read_power(root: Path = SYSTEM_ROOT) -> tuple[Reading[bool], Reading[float]]:
    """Return whether the computer is on mains, and the charge in per cent."""
    try:
        supplies = read_tree(root)
    except OSError as error:
        return unknown(f"{root}: {error.strerror}"), unknown("no power-supply class")
    return on_mains(supplies), charge(supplies)


def read_tree(root: Path) -> tuple[Supply, ...]:
    """Read every supply below `root`, in the order of their names. Raises OSError."""
    return tuple(
        Supply(folder.name, dict(_attributes(folder)))
        for folder in sorted(root.iterdir())[:MAX_SUPPLIES]
    )


def on_mains(supplies: Iterable[Supply]) -> Reading[bool]:
    """Decide by rules 2 to 8. Pure."""
    supplies = tuple(supplies)
    batteries = [supply for supply in supplies if supply.is_battery]
    chargers = [supply for supply in supplies if supply.is_charger]
    ports = [supply for supply in supplies if supply.is_usb]
    discharging = [supply for supply in batteries if supply.text("status") == "discharging"]
    powered = [supply for supply in batteries if supply.text("status") in _POWERED]
    for supply in supplies:
        if supply.is_ups and supply.text("status") == "discharging":
            return Reading(False, f"UPS {supply.name} discharges")
    if not batteries:
        online = [supply for supply in (*chargers, *ports) if supply.is_online]
        return Reading(True, f"{online[0].name} online" if online else "no battery")
    if found := [supply for supply in chargers if supply.is_online]:
        return Reading(True, f"{found[0].name} online")
    if discharging:
        return Reading(False, f"{discharging[0].name} discharges")
    if powered:
        return Reading(True, f"{powered[0].name} {powered[0].text('status')}")
    if found := [supply for supply in ports if supply.is_online]:
        return Reading(True, f"{found[0].name} online")
    if found := [supply for supply in (*chargers, *ports) if supply.number("online") == 0]:
        return Reading(False, f"{found[0].name} offline")
    return unknown("the battery does not report whether it discharges")


def charge(supplies: Iterable[Supply]) -> Reading[float]:
    """Return the charge of all batteries together. Pure."""
    batteries = [supply for supply in supplies if supply.is_battery]
    if not batteries:
        return unknown("no battery")
    names = ", ".join(supply.name for supply in batteries)
    # Drivers count energy (µWh) or charge (µAh), and not every driver offers both.
    for unit in ("energy", "charge"):
        if (percent := _percent(batteries, unit)) is not None:
            return Reading(percent, names, "%")
    capacities = [supply.number("capacity") for supply in batteries]
    valid = [percent for percent in capacities if percent is not None and 0 <= percent <= 100]
    if valid:
        return Reading(sum(valid) / len(valid), names, "%")
    return unknown(f"{names}: the driver reports no charge")


def _attributes(folder: Path) -> Iterable[tuple[str, str]]:
    for name in ATTRIBUTES:
        try:
            yield name, (folder / name).read_text(errors="replace").strip().lower()
        except OSError:  # absent, or the driver fails to answer
            continue


def _percent(batteries: list[Supply], unit: str) -> float | None:
    """Return the charge of all batteries together; None unless each has both attributes and one
    holds something. A worn-out battery, whose capacity is 0, adds nothing.
    """
    stored = [supply.number(f"{unit}_now") for supply in batteries]
    capacity = [supply.number(f"{unit}_full", f"{unit}_full_design") for supply in batteries]
    if None in stored or None in capacity:
        return None
    whole = sum(part or 0 for part in capacity)
    if whole <= 0:
        return None
    percent = 100 * sum(part or 0 for part in stored) / whole
    return min(max(percent, 0.0), 100.0)
