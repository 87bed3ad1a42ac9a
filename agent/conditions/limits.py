"""The limits that conditions are compared with, as the settings and the policy set them."""

from dataclasses import dataclass

from agent.config.settings import Settings

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""As the settings name them; the order is that of `datetime.weekday`."""


@dataclass(frozen=True)
class ConditionLimits:
    """When training may run, and how much of the computer it may take.

    The fields carry the units of the settings: shares and percentages in per cent, `_s` in seconds,
    `_mib` in MiB, `_c` in °C.
    """

    share_in_use: int = 10
    share_idle: int = 50
    memory_mib: int = 512
    battery_rule: str = "never"
    battery_stop_below: int = 40
    battery_start_above: int = 60
    idle_only: bool = False
    idle_s: int = 300
    busy_percent: int = 50
    stop_c: int = 85
    week: tuple[str, ...] = ("always",) * 7
    """The allowed hours of each day, Monday first."""
    metered_allowed: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "ConditionLimits":
        """Return the limits as the person and the policy set them."""
        return cls(
            share_in_use=settings.integer("cpu.share_in_use"),
            share_idle=settings.integer("cpu.share_idle"),
            memory_mib=settings.integer("memory.limit_mib"),
            battery_rule=settings.text("battery.rule"),
            battery_stop_below=settings.integer("battery.stop_below"),
            battery_start_above=settings.integer("battery.start_above"),
            idle_only=settings.flag("idle.only"),
            idle_s=settings.integer("idle.minutes") * 60,
            busy_percent=settings.integer("busy.share"),
            stop_c=settings.integer("temperature.stop_c"),
            week=tuple(settings.text(f"hours.{day}") for day in DAYS),
            metered_allowed=settings.text("network.metered") == "always",
        )
