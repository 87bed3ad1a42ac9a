"""May this machine train, may it send? Readings and limits in, a verdict with every reason out.
Pure.

1. Every reason is listed, in the order of `reasons.ReasonCode`; the first is the headline.
2. What the person or their organisation forbids (`own`: consent, policy, pause, keyring, budget
   ...) is passed in and comes first.
3. Unknown is not "fine" where it guards something: unknown power counts as battery, unknown idle
   time as in use.
4. No flapping: `fold` remembers what was passed lately; a state is left later than it is entered.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from agent.conditions import hours
from agent.conditions.readings import Reading, Readings
from agent.config.settings import Settings
from agent.reasons import OVERRIDABLE, Reason, ReasonCode

CALM_S = 30
"""Two sample periods without load or battery before training goes on."""
COOLER_BY_C = 5
RESERVE_MIB = 256
"""Memory that must stay free beside what training may take; also the distance between stop and
start."""
MIN_DISK_MIB = 200
DISK_AGAIN_MIB = 300
_ORDER = {code: place for place, code in enumerate(ReasonCode)}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class ConditionLimits:
    """The settings that conditions are compared with."""

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
    metered_allowed: bool = False


@dataclass(frozen=True)
class Hysteresis:
    """What hysteresis remembers."""

    battery_low: bool = False
    hot: bool = False
    low_memory: bool = False
    low_disk: bool = False
    busy_until: int = 0
    """Seconds since the epoch; the wait after the last time that others were busy."""
    battery_until: int = 0


@dataclass(frozen=True)
class Verdict:
    """Reasons against it, in order; none means yes."""

    reasons: tuple[Reason, ...]

    @property
    def allowed(self) -> bool:
        return not self.reasons

    @property
    def allowed_once(self) -> bool:
        """Whether "run now once" would pass."""
        return all(reason.code in OVERRIDABLE for reason in self.reasons)


def limits_of(settings: Settings) -> ConditionLimits:
    """The limits as the person and the policy set them."""
    return ConditionLimits(
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
        week=tuple(settings.text(f"hours.{day}") for day in _DAYS),
        metered_allowed=settings.text("network.metered") == "always",
    )


def fold(before: Hysteresis, readings: Readings, limits: ConditionLimits, now: int) -> Hysteresis:
    """What to remember after these readings."""
    charge, others = readings.charge.value, readings.others_cpu.value
    below, above = (
        limits.battery_stop_below,
        max(limits.battery_start_above, limits.battery_stop_below + 1),
    )
    busy = others is not None and others > limits.busy_percent
    on_battery = readings.on_mains.value is False
    # A clock that was set back must not hold a wait for ever.
    before = replace(
        before,
        busy_until=min(before.busy_until, now + CALM_S),
        battery_until=min(before.battery_until, now + CALM_S),
    )
    return Hysteresis(
        battery_low=charge is not None
        and (charge < below or (before.battery_low and charge <= above)),
        hot=_above(
            before.hot, readings.temperature.value, limits.stop_c, limits.stop_c - COOLER_BY_C
        ),
        low_memory=_below(
            before.low_memory,
            readings.memory_free.value,
            limits.memory_mib + RESERVE_MIB,
            limits.memory_mib + 2 * RESERVE_MIB,
        ),
        low_disk=_below(before.low_disk, readings.disk_free.value, MIN_DISK_MIB, DISK_AGAIN_MIB),
        busy_until=now + CALM_S if busy else before.busy_until,
        battery_until=now + CALM_S if on_battery else before.battery_until,
    )


def may_train(
    readings: Readings,
    memory: Hysteresis,
    limits: ConditionLimits,
    now: int,
    zone: tzinfo | None = UTC,
    own: tuple[Reason, ...] = (),
) -> Verdict:
    """Whether to train now.

    `own` are the reasons that no reading can lift; `zone` None means that of this computer.
    """
    found = [
        *_power(readings, memory, limits, now),
        _hot(readings, memory, limits),
        _session(readings),
        _full_screen(readings),
        _in_use(readings, limits),
        _busy(readings, memory, limits, now),
        _outside_hours(limits, now, zone),
        _low(
            ReasonCode.LOW_MEMORY,
            "Too little memory is free for training.",
            memory.low_memory,
            readings.memory_free,
            "memory.limit_mib",
        ),
        _low(
            ReasonCode.LOW_DISK,
            "Too little disk space is free.",
            memory.low_disk,
            readings.disk_free,
            "",
        ),
    ]
    return _verdict(own, found)


def may_send(readings: Readings, limits: ConditionLimits, own: tuple[Reason, ...] = ()) -> Verdict:
    """Whether to send now: what is said by person, policy and network only, so that touching the
    mouse never breaks a round.
    """
    found: list[Reason | None] = []
    if readings.metered.value and not limits.metered_allowed:
        text = "The network is metered."
        found.append(
            Reason(
                ReasonCode.METERED,
                text,
                str(readings.metered),
                readings.metered.source,
                "network.metered",
            )
        )
    if readings.online.value is False:
        found.append(
            Reason(
                ReasonCode.OFFLINE,
                "There is no network.",
                str(readings.online),
                readings.online.source,
            )
        )
    return _verdict(own, found)


def cpu_percent(readings: Readings, limits: ConditionLimits) -> int:
    """The processor limit that holds now, per cent of one core; unknown idle time counts as in
    use.
    """
    idle = readings.idle.value
    return limits.share_idle if idle is not None and idle >= limits.idle_s else limits.share_in_use


def wanted(limits: ConditionLimits) -> frozenset[str]:
    """Names of the readings that can change a verdict or the limit; the others are not taken."""
    names = {
        "others_cpu",
        "memory_free",
        "disk_free",
        "session_active",
        "full_screen",
        "temperature",
        "online",
    }
    if limits.battery_rule != "always":
        names |= {"on_mains", "charge"}
    if limits.idle_only or limits.share_idle != limits.share_in_use:
        names.add("idle")
    if limits.busy_percent >= 100:
        names.discard("others_cpu")
    if not limits.metered_allowed:
        names.add("metered")
    return frozenset(names)


def next_look_s(
    readings: Readings, memory: Hysteresis, limits: ConditionLimits, now: int
) -> int | None:
    """When a wait that the clock alone ends is over; None when there is no such wait."""
    waits = [until - now for until in (memory.busy_until, memory.battery_until) if until > now]
    if readings.idle.value is not None and readings.idle.value < limits.idle_s:
        waits.append(int(limits.idle_s - readings.idle.value) + 1)
    return min(waits, default=None)


def _verdict(own: tuple[Reason, ...], found: list[Reason | None]) -> Verdict:
    unique = {reason.code: reason for reason in reversed((*own, *found)) if reason is not None}
    return Verdict(tuple(sorted(unique.values(), key=lambda reason: _ORDER[reason.code])))


def _power(
    readings: Readings, memory: Hysteresis, limits: ConditionLimits, now: int
) -> list[Reason | None]:
    power, rule = readings.on_mains, limits.battery_rule
    if power.value or rule == "always":
        if power.value and rule != "always" and memory.battery_until > now:
            text = "The power came back; training waits a moment longer."
            return [
                Reason(
                    ReasonCode.ON_BATTERY,
                    text,
                    "plugged in",
                    power.source,
                    "battery.rule",
                    memory.battery_until,
                )
            ]
        return []
    said = "on battery" if power.value is False else "unknown"
    if rule == "never":
        text = (
            "The computer runs on battery."
            if power.value is False
            else "Nothing says whether the computer is plugged in."
        )
        return [Reason(ReasonCode.ON_BATTERY, text, said, power.source, "battery.rule")]
    if memory.battery_low:
        text = f"The battery is low; training goes on above {limits.battery_start_above} %."
        return [
            Reason(
                ReasonCode.BATTERY_LOW,
                text,
                str(readings.charge),
                readings.charge.source,
                "battery.start_above",
            )
        ]
    if readings.charge.value is None:
        text = "Nothing tells how full the battery is."
        return [
            Reason(ReasonCode.BATTERY_LOW, text, "unknown", readings.charge.source, "battery.rule")
        ]
    return []


def _hot(readings: Readings, memory: Hysteresis, limits: ConditionLimits) -> Reason | None:
    if not memory.hot:
        return None
    text = f"The computer is hot; training goes on below {limits.stop_c - COOLER_BY_C} °C."
    return Reason(
        ReasonCode.HOT,
        text,
        str(readings.temperature),
        readings.temperature.source,
        "temperature.stop_c",
    )


def _session(readings: Readings) -> Reason | None:
    if readings.session_active.value is not False:
        return None
    return Reason(
        ReasonCode.OTHER_SESSION,
        "Another person uses this computer now.",
        "no",
        readings.session_active.source,
    )


def _full_screen(readings: Readings) -> Reason | None:
    if not readings.full_screen.value:
        return None
    return Reason(
        ReasonCode.FULL_SCREEN, "A program fills the screen.", "yes", readings.full_screen.source
    )


def _in_use(readings: Readings, limits: ConditionLimits) -> Reason | None:
    idle = readings.idle
    if not limits.idle_only:
        return None
    if idle.value is None:
        text = "Nothing tells whether keyboard and mouse are in use."
        return Reason(ReasonCode.IDLE_UNKNOWN, text, "unknown", idle.source, "idle.only")
    if idle.value < limits.idle_s:
        text = f"Keyboard or mouse were used in the last {limits.idle_s // 60} minutes."
        return Reason(ReasonCode.IN_USE, text, f"{idle} ago", idle.source, "idle.only")
    return None


def _busy(
    readings: Readings, memory: Hysteresis, limits: ConditionLimits, now: int
) -> Reason | None:
    if memory.busy_until <= now:
        return None
    others, text = (
        readings.others_cpu,
        f"Other programs take more than {limits.busy_percent} % of this computer.",
    )
    if others.value is not None and others.value <= limits.busy_percent:
        text = "Other programs were busy a moment ago."
    return Reason(
        ReasonCode.BUSY,
        text,
        f"{others} of this computer",
        others.source,
        "busy.share",
        memory.busy_until,
    )


def _outside_hours(limits: ConditionLimits, now: int, zone: tzinfo | None) -> Reason | None:
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    if hours.is_open(limits.week, local):
        return None
    setting = f"hours.{_DAYS[local.weekday()]}"
    opens = hours.opens_at(limits.week, now, zone)
    return Reason(
        ReasonCode.OUTSIDE_HOURS,
        "You did not choose this hour for training.",
        local.strftime("%H:%M"),
        "clock",
        setting,
        opens,
    )


def _low(
    code: ReasonCode, text: str, is_low: bool, reading: Reading[float], setting: str
) -> Reason | None:
    return Reason(code, text, str(reading), reading.source, setting) if is_low else None


def _above(was: bool, value: float | None, enter: float, leave: float) -> bool:
    """Unknown is not above."""
    return value is not None and (value >= enter or (was and value > leave))


def _below(was: bool, value: float | None, enter: float, leave: float) -> bool:
    return value is not None and (value < enter or (was and value < leave))
