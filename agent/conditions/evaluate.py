"""Decides whether this machine may train and may send, from readings and limits. Pure.

1. A verdict lists every reason, in the order of `reasons.ReasonCode`; the first is the headline.
2. Reasons that no reading can lift (consent, policy, pause, keyring, budget …) are passed in as
   `other_reasons` and take their place in that order.
3. Unknown does not mean fine where a reading guards something: unknown power counts as battery,
   unknown idle time as in use.
4. Verdicts do not flap: `Hysteresis` leaves a state later than it enters it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from agent.conditions import hours
from agent.conditions.hysteresis import COOLER_BY_C, Hysteresis
from agent.conditions.limits import DAYS, ConditionLimits
from agent.conditions.readings import Reading, Readings
from agent.reasons import OVERRIDABLE, Reason, ReasonCode

_ORDER = {code: place for place, code in enumerate(ReasonCode)}


@dataclass(frozen=True)
class Verdict:
    """The reasons against it, in order; none means yes."""

    reasons: tuple[Reason, ...]

    @property
    def allowed(self) -> bool:
        return not self.reasons

    @property
    def allowed_once(self) -> bool:
        """Whether the person may override every reason with "train once now"."""
        return all(reason.code in OVERRIDABLE for reason in self.reasons)


def may_train(
    readings: Readings,
    hysteresis: Hysteresis,
    limits: ConditionLimits,
    now: int,
    zone: tzinfo | None = UTC,
    other_reasons: tuple[Reason, ...] = (),
) -> Verdict:
    """Decide whether to train now. `zone` None: the time zone of this computer."""
    return _verdict(
        other_reasons,
        [
            _power(readings, hysteresis, limits, now),
            _hot(readings, hysteresis, limits),
            _session(readings),
            _full_screen(readings),
            _in_use(readings, limits),
            _busy(readings, hysteresis, limits, now),
            _outside_hours(limits, now, zone),
            _low_memory(readings, hysteresis),
            _low_disk(readings, hysteresis),
        ],
    )


def may_send(
    readings: Readings, limits: ConditionLimits, other_reasons: tuple[Reason, ...] = ()
) -> Verdict:
    """Decide whether to send now.

    Only person, policy and network count, so that touching the mouse never breaks a round.
    """
    return _verdict(other_reasons, [_metered(readings, limits), _offline(readings)])


def cpu_percent(readings: Readings, limits: ConditionLimits) -> int:
    """Return the processor limit for training now, in per cent of one core.

    Unknown idle time counts as in use.
    """
    idle = readings.idle.value
    return limits.share_idle if idle is not None and idle >= limits.idle_s else limits.share_in_use


def required_readings(limits: ConditionLimits) -> frozenset[str]:
    """Return the names of the readings that can change a verdict or the processor limit.

    The others are never taken.
    """
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


def next_change_s(
    readings: Readings, hysteresis: Hysteresis, limits: ConditionLimits, now: int
) -> int | None:
    """Return the seconds until a verdict changes by the passing of time alone; None if none
    will.
    """
    waits = [
        until - now for until in (hysteresis.busy_until, hysteresis.battery_until) if until > now
    ]
    if readings.idle.value is not None and readings.idle.value < limits.idle_s:
        waits.append(int(limits.idle_s - readings.idle.value) + 1)
    return min(waits, default=None)


def _verdict(other_reasons: tuple[Reason, ...], found: list[Reason | None]) -> Verdict:
    # Reversed: where both give a code, the reason that no reading can lift counts.
    reasons = {
        reason.code: reason for reason in reversed((*other_reasons, *found)) if reason is not None
    }
    return Verdict(tuple(sorted(reasons.values(), key=lambda reason: _ORDER[reason.code])))


def _power(
    readings: Readings, hysteresis: Hysteresis, limits: ConditionLimits, now: int
) -> Reason | None:
    power = readings.on_mains
    if limits.battery_rule == "always":
        return None
    if power.value:
        if hysteresis.battery_until <= now:
            return None
        return Reason(
            ReasonCode.ON_BATTERY,
            "Power is back; training resumes in a moment.",
            "plugged in",
            power.source,
            "battery.rule",
            hysteresis.battery_until,
        )
    if limits.battery_rule == "never":
        return _on_battery(power)
    return _battery_low(readings, hysteresis, limits)


def _on_battery(power: Reading[bool]) -> Reason:
    text, reading = (
        ("The computer runs on battery.", "on battery")
        if power.value is False
        else ("It is unknown whether the computer is plugged in.", "unknown")
    )
    return Reason(ReasonCode.ON_BATTERY, text, reading, power.source, "battery.rule")


def _battery_low(
    readings: Readings, hysteresis: Hysteresis, limits: ConditionLimits
) -> Reason | None:
    charge = readings.charge
    if hysteresis.battery_low:
        text = f"The battery is low; training resumes above {limits.battery_start_above} %."
        setting = "battery.start_above"
        return Reason(ReasonCode.BATTERY_LOW, text, str(charge), charge.source, setting)
    if charge.value is None:
        text = "The charge of the battery is unknown."
        return Reason(ReasonCode.BATTERY_LOW, text, "unknown", charge.source, "battery.rule")
    return None


def _hot(readings: Readings, hysteresis: Hysteresis, limits: ConditionLimits) -> Reason | None:
    if not hysteresis.hot:
        return None
    text = f"The computer is hot; training resumes below {limits.stop_c - COOLER_BY_C} °C."
    reading = readings.temperature
    return Reason(ReasonCode.HOT, text, str(reading), reading.source, "temperature.stop_c")


def _session(readings: Readings) -> Reason | None:
    if readings.session_active.value is not False:
        return None
    text = "Another person is using this computer."
    return Reason(ReasonCode.OTHER_SESSION, text, "no", readings.session_active.source)


def _full_screen(readings: Readings) -> Reason | None:
    if not readings.full_screen.value:
        return None
    text = "A program fills the screen."
    return Reason(ReasonCode.FULL_SCREEN, text, "yes", readings.full_screen.source)


def _in_use(readings: Readings, limits: ConditionLimits) -> Reason | None:
    idle = readings.idle
    if not limits.idle_only:
        return None
    if idle.value is None:
        text = "It is unknown whether keyboard and mouse are in use."
        return Reason(ReasonCode.IDLE_UNKNOWN, text, "unknown", idle.source, "idle.only")
    if idle.value < limits.idle_s:
        text = f"Keyboard or mouse were used in the last {limits.idle_s // 60} minutes."
        return Reason(ReasonCode.IN_USE, text, f"{idle} ago", idle.source, "idle.only")
    return None


def _busy(
    readings: Readings, hysteresis: Hysteresis, limits: ConditionLimits, now: int
) -> Reason | None:
    if hysteresis.busy_until <= now:
        return None
    others = readings.others_cpu
    text = f"Other programs use more than {limits.busy_percent} % of this computer."
    if others.value is not None and others.value <= limits.busy_percent:
        text = "Other programs were busy a moment ago."
    return Reason(
        ReasonCode.BUSY,
        text,
        f"{others} of this computer",
        others.source,
        "busy.share",
        hysteresis.busy_until,
    )


def _outside_hours(limits: ConditionLimits, now: int, zone: tzinfo | None) -> Reason | None:
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    if hours.is_open(limits.week, local):
        return None
    return Reason(
        ReasonCode.OUTSIDE_HOURS,
        "It is outside the hours that you chose for training.",
        local.strftime("%H:%M"),
        "clock",
        f"hours.{DAYS[local.weekday()]}",
        hours.opens_at(limits.week, now, zone),
    )


def _low_memory(readings: Readings, hysteresis: Hysteresis) -> Reason | None:
    if not hysteresis.low_memory:
        return None
    reading = readings.memory_free
    text, setting = "Too little memory is free for training.", "memory.limit_mib"
    return Reason(ReasonCode.LOW_MEMORY, text, str(reading), reading.source, setting)


def _low_disk(readings: Readings, hysteresis: Hysteresis) -> Reason | None:
    if not hysteresis.low_disk:
        return None
    reading = readings.disk_free
    text = "Too little disk space is free."
    return Reason(ReasonCode.LOW_DISK, text, str(reading), reading.source)


def _metered(readings: Readings, limits: ConditionLimits) -> Reason | None:
    reading = readings.metered
    if not reading.value or limits.metered_allowed:
        return None
    text, setting = "The network is metered.", "network.metered"
    return Reason(ReasonCode.METERED, text, str(reading), reading.source, setting)


def _offline(readings: Readings) -> Reason | None:
    reading = readings.online
    if reading.value is not False:
        return None
    return Reason(ReasonCode.OFFLINE, "There is no network.", str(reading), reading.source)
