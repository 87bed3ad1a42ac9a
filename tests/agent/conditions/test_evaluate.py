"""Verdicts from readings: every reason can be reached, in order, in all combinations."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conditions.evaluate import (
    cpu_percent,
    may_send,
    may_train,
    next_change_s,
    required_readings,
)
from agent.conditions.hysteresis import CALM_S, Hysteresis
from agent.conditions.limits import ConditionLimits
from agent.conditions.readings import Reading, Readings
from agent.config.definitions import BY_KEY
from agent.reasons import OVERRIDABLE, Reason, ReasonCode
from tests.fakes.readings import calm_readings

NOW = 1_800_000_000  # a Friday, 08:00 UTC
ORDER = list(ReasonCode)


def verdict(readings, limits=None, now=NOW):
    limits = limits or ConditionLimits()
    return may_train(readings, Hysteresis().update(readings, limits, now), limits, now)


def codes(verdict):
    return [reason.code for reason in verdict.reasons]


def test_a_calm_plugged_computer_trains_and_sends():
    assert verdict(calm_readings()).allowed
    assert may_send(calm_readings(), ConditionLimits()).allowed


ABOVE = ConditionLimits(battery_rule="above")
IDLE_ONLY = ConditionLimits(idle_only=True)
CASES = [
    ("ON_BATTERY", {"on_mains": False}, ConditionLimits()),
    ("ON_BATTERY", {"on_mains": None}, ConditionLimits()),
    ("BATTERY_LOW", {"on_mains": False, "charge": 39.0}, ABOVE),
    ("BATTERY_LOW", {"on_mains": False, "charge": None}, ABOVE),
    ("HOT", {"temperature": 85.0}, ConditionLimits()),
    ("OTHER_SESSION", {"session_active": False}, ConditionLimits()),
    ("FULL_SCREEN", {"full_screen": True}, ConditionLimits()),
    ("IN_USE", {"idle": 10.0}, IDLE_ONLY),
    ("IDLE_UNKNOWN", {"idle": None}, IDLE_ONLY),
    ("BUSY", {"others_cpu": 70.0}, ConditionLimits()),
    ("OUTSIDE_HOURS", {}, ConditionLimits(week=("never",) * 7)),
    ("LOW_MEMORY", {"memory_free": 600.0}, ConditionLimits()),
    ("LOW_DISK", {"disk_free": 150.0}, ConditionLimits()),
]


@pytest.mark.parametrize(
    ("code", "values", "limits"),
    CASES,
    ids=[f"{case[0]}-{place}" for place, case in enumerate(CASES)],
)
def test_each_reason_is_reached_alone_and_carries_its_reading_and_setting(code, values, limits):
    found = verdict(calm_readings(**values), limits)
    assert codes(found) == [ReasonCode[code]]
    reason = found.reasons[0]
    assert reason.text.endswith(".")
    assert reason.reading
    assert reason.source
    assert reason.setting == "" or reason.setting in BY_KEY
    assert found.allowed_once == (ReasonCode[code] in OVERRIDABLE)


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ({"on_mains": False, "charge": 5.0}, ConditionLimits(battery_rule="always")),
        ({"on_mains": False, "charge": 60.0}, ABOVE),
        ({"others_cpu": 50.0}, ConditionLimits()),
        ({"idle": 0.0}, ConditionLimits()),
        ({"session_active": None, "full_screen": None, "temperature": None}, ConditionLimits()),
        ({"memory_free": None, "disk_free": None, "others_cpu": None}, ConditionLimits()),
    ],
)
def test_what_the_limits_allow_gives_no_reason(values, limits):
    assert verdict(calm_readings(**values), limits).allowed


def test_the_wait_after_battery_ends_by_itself_and_says_when():
    on_battery = Hysteresis().update(calm_readings(on_mains=False), ConditionLimits(), NOW)
    back = calm_readings()
    hysteresis = on_battery.update(back, ConditionLimits(), NOW + 10)
    (reason,) = may_train(back, hysteresis, ConditionLimits(), NOW + 10).reasons
    assert (reason.code, reason.until) == (ReasonCode.ON_BATTERY, NOW + CALM_S)
    assert next_change_s(back, hysteresis, ConditionLimits(), NOW + 10) == CALM_S - 10


@pytest.mark.parametrize(
    ("code", "values", "limits"),
    [
        ("METERED", {"metered": True}, ConditionLimits()),
        ("OFFLINE", {"online": False}, ConditionLimits()),
    ],
    ids=["METERED", "OFFLINE"],
)
def test_the_network_counts_against_sending_only(code, values, limits):
    readings = calm_readings(**values)
    assert codes(may_send(readings, limits)) == [ReasonCode[code]]
    assert verdict(readings, limits).allowed


def test_touching_the_mouse_or_the_plug_is_no_reason_against_sending():
    readings = calm_readings(
        on_mains=False, idle=0.0, others_cpu=100.0, full_screen=True, temperature=99.0
    )
    assert may_send(readings, ConditionLimits(idle_only=True)).allowed


one_of = st.sampled_from
ANY = st.builds(
    calm_readings,
    on_mains=one_of([True, False, None]),
    charge=one_of([None, 0.0, 39.9, 40.0, 59.0, 61.0, 100.0]),
    others_cpu=one_of([None, 0.0, 50.0, 50.1, 100.0]),
    memory_free=one_of([None, 0.0, 700.0, 900.0, 9000.0]),
    disk_free=one_of([None, 10.0, 250.0, 9999.0]),
    idle=one_of([None, 0.0, 299.0, 300.0]),
    session_active=one_of([True, False, None]),
    full_screen=one_of([True, False, None]),
    temperature=one_of([None, 20.0, 82.0, 85.0]),
    metered=one_of([True, False, None]),
    online=one_of([True, False, None]),
)
LIMITS = st.builds(
    ConditionLimits,
    battery_rule=one_of(["never", "above", "always"]),
    idle_only=st.booleans(),
    metered_allowed=st.booleans(),
    busy_percent=one_of([50, 100]),
    week=one_of([("always",) * 7, ("never",) * 7, ("07:30-08:30",) * 7]),
)
OTHER = st.lists(one_of(ORDER[:7]), unique=True).map(
    lambda found: tuple(Reason(code, "x.") for code in found)
)


@given(ANY, LIMITS, OTHER)
def test_every_reason_is_listed_once_and_in_order(readings, limits, other_reasons):
    hysteresis = Hysteresis().update(readings, limits, NOW)
    for found in (
        may_train(readings, hysteresis, limits, NOW, other_reasons=other_reasons),
        may_send(readings, limits, other_reasons),
    ):
        places = [ORDER.index(code) for code in codes(found)]
        assert places == sorted(set(places))
        assert {reason.code for reason in other_reasons} <= set(codes(found))
        assert found.allowed == (found.reasons == ())
        assert found.allowed_once == all(reason.overridable for reason in found.reasons)


@settings(max_examples=40)
@given(ANY, LIMITS)
def test_a_reading_that_is_not_required_changes_no_verdict(readings, limits):
    not_read = {
        field.name: Reading(None, "not read")
        for field in fields(Readings)
        if field.name not in required_readings(limits)
    }
    blind = replace(readings, **not_read)
    for one, other in ((readings, blind), (blind, readings)):
        assert codes(verdict(one, limits)) == codes(verdict(other, limits))
        assert codes(may_send(one, limits)) == codes(may_send(other, limits))
        assert cpu_percent(one, limits) == cpu_percent(other, limits)


def test_the_next_change_is_the_first_that_time_alone_brings():
    limits = ConditionLimits()
    busy = Hysteresis(busy_until=NOW + 20, battery_until=NOW + 5)
    assert next_change_s(calm_readings(), Hysteresis(), limits, NOW) is None
    assert next_change_s(calm_readings(), busy, limits, NOW) == 5
    assert next_change_s(calm_readings(), busy, limits, NOW + 5) == 15
    assert next_change_s(calm_readings(idle=298.5), busy, limits, NOW) == 2


def test_the_limit_for_an_idle_computer_needs_a_known_idle_time():
    limits = ConditionLimits(share_in_use=10, share_idle=50)
    assert [
        cpu_percent(calm_readings(idle=value), limits) for value in (None, 0.0, 299.0, 300.0)
    ] == [10, 10, 10, 50]
