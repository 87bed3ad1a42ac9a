"""Verdicts from readings: every reason reachable and lifted, in order, over all combinations,
without flapping.
"""

from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conditions.evaluate import (
    CALM_S,
    ConditionLimits,
    Hysteresis,
    cpu_percent,
    fold,
    may_send,
    may_train,
    next_look_s,
    wanted,
)
from agent.conditions.readings import Reading, Readings
from agent.config.definitions import BY_KEY
from agent.reasons import OVERRIDABLE, Reason, ReasonCode

NOW = 1_800_000_000  # a Friday, 08:00 UTC
ORDER = list(ReasonCode)


def given_readings(**values):
    fine = {
        "on_mains": True,
        "charge": 90.0,
        "others_cpu": 5.0,
        "memory_free": 8000.0,
        "disk_free": 50_000.0,
        "idle": 900.0,
        "session_active": True,
        "full_screen": False,
        "temperature": 50.0,
        "metered": False,
        "online": True,
    }
    return Readings(**{name: Reading(value, "test") for name, value in {**fine, **values}.items()})


def verdict(readings, limits=None, now=NOW, memory=None):
    limits = limits or ConditionLimits()
    return may_train(readings, fold(memory or Hysteresis(), readings, limits, now), limits, now)


def codes(found):
    return [reason.code for reason in found.reasons]


def test_a_calm_plugged_computer_trains_and_sends():
    assert verdict(given_readings()).allowed
    assert may_send(given_readings(), ConditionLimits()).allowed


RULE = ConditionLimits(battery_rule="above")
CASES = [
    ("ON_BATTERY", {"on_mains": False}, ConditionLimits(), {}),
    ("ON_BATTERY", {"on_mains": None}, ConditionLimits(), {}),
    ("BATTERY_LOW", {"on_mains": False, "charge": 39.0}, RULE, {}),
    ("BATTERY_LOW", {"on_mains": False, "charge": None}, RULE, {}),
    ("HOT", {"temperature": 85.0}, ConditionLimits(), {}),
    ("OTHER_SESSION", {"session_active": False}, ConditionLimits(), {}),
    ("FULL_SCREEN", {"full_screen": True}, ConditionLimits(), {}),
    ("IN_USE", {"idle": 10.0}, ConditionLimits(idle_only=True), {}),
    ("IDLE_UNKNOWN", {"idle": None}, ConditionLimits(idle_only=True), {}),
    ("BUSY", {"others_cpu": 70.0}, ConditionLimits(), {}),
    ("OUTSIDE_HOURS", {}, ConditionLimits(week=("never",) * 7), {}),
    ("LOW_MEMORY", {"memory_free": 600.0}, ConditionLimits(), {}),
    ("LOW_DISK", {"disk_free": 150.0}, ConditionLimits(), {}),
]


@pytest.mark.parametrize(
    ("code", "values", "limits", "_"),
    CASES,
    ids=[f"{case[0]}-{place}" for place, case in enumerate(CASES)],
)
def test_each_reason_is_reached_alone_and_says_what_and_where(code, values, limits, _):
    found = verdict(given_readings(**values), limits)
    assert codes(found) == [ReasonCode[code]]
    reason = found.reasons[0]
    assert reason.text.endswith(".")
    assert reason.source
    assert reason.setting == "" or reason.setting in BY_KEY
    assert found.allowed_once == (ReasonCode[code] in OVERRIDABLE)


@pytest.mark.parametrize(
    ("code", "values", "limits"),
    [
        ("METERED", {"metered": True}, ConditionLimits()),
        ("OFFLINE", {"online": False}, ConditionLimits()),
    ],
    ids=["METERED", "OFFLINE"],
)
def test_the_network_holds_back_sending_only(code, values, limits):
    readings = given_readings(**values)
    assert codes(may_send(readings, limits)) == [ReasonCode[code]]
    assert verdict(readings, limits).allowed


def test_touching_the_mouse_or_the_plug_never_breaks_a_round():
    readings = given_readings(
        on_mains=False, idle=0.0, others_cpu=100.0, full_screen=True, temperature=99.0
    )
    assert may_send(readings, ConditionLimits(idle_only=True)).allowed


maybe = st.sampled_from
ANY = st.builds(
    given_readings,
    on_mains=maybe([True, False, None]),
    charge=maybe([None, 0.0, 39.9, 40.0, 59.0, 61.0, 100.0]),
    others_cpu=maybe([None, 0.0, 50.0, 50.1, 100.0]),
    memory_free=maybe([None, 0.0, 700.0, 900.0, 9000.0]),
    disk_free=maybe([None, 10.0, 250.0, 9999.0]),
    idle=maybe([None, 0.0, 299.0, 300.0]),
    session_active=maybe([True, False, None]),
    full_screen=maybe([True, False, None]),
    temperature=maybe([None, 20.0, 82.0, 85.0]),
    metered=maybe([True, False, None]),
    online=maybe([True, False, None]),
)
LIMITS = st.builds(
    ConditionLimits,
    battery_rule=maybe(["never", "above", "always"]),
    idle_only=st.booleans(),
    metered_allowed=st.booleans(),
    busy_percent=maybe([50, 100]),
    week=maybe([("always",) * 7, ("never",) * 7, ("07:30-08:30",) * 7]),
)
OWN = st.lists(maybe(ORDER[:7]), unique=True).map(
    lambda found: tuple(Reason(code, "x.") for code in found)
)


@given(ANY, LIMITS, OWN)
def test_reasons_are_all_there_once_in_order_and_stable(readings, limits, own):
    memory = fold(Hysteresis(), readings, limits, NOW)
    for found in (
        may_train(readings, memory, limits, NOW, own=own),
        may_send(readings, limits, own),
    ):
        places = [ORDER.index(code) for code in codes(found)]
        assert places == sorted(set(places))
        assert {reason.code for reason in own} <= set(codes(found))
        assert found.allowed == (found.reasons == ())
        assert found.allowed_once == all(reason.overridable for reason in found.reasons)
    assert fold(memory, readings, limits, NOW) == memory


@settings(max_examples=40)
@given(ANY, LIMITS)
def test_what_is_not_wanted_cannot_change_a_verdict(readings, limits):
    left_out = {
        field.name: Reading(None, "not read")
        for field in fields(Readings)
        if field.name not in wanted(limits)
    }
    blind = replace(readings, **left_out)
    for one, other in ((readings, blind), (blind, readings)):
        assert codes(verdict(one, limits)) == codes(verdict(other, limits))
        assert codes(may_send(one, limits)) == codes(may_send(other, limits))
        assert cpu_percent(one, limits) == cpu_percent(other, limits)


def steps(values, name, limits=None, step_s=15):
    """Verdicts while one reading goes through `values`."""
    limits, memory, said = limits or ConditionLimits(), Hysteresis(), []
    for place, value in enumerate(values):
        readings, now = given_readings(**{name: value}), NOW + place * step_s
        memory = fold(memory, readings, limits, now)
        said.append(may_train(readings, memory, limits, now).allowed)
    return said


def changes(said):
    return sum(one != other for one, other in pairwise(said))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [84.0, 85.5] * 20),
        ("memory_free", [760.0, 790.0] * 20),
        ("disk_free", [190.0, 210.0] * 20),
        ("others_cpu", [45.0, 55.0] * 20),
        ("on_mains", [True, False] * 20),
    ],
)
def test_a_reading_that_trembles_at_its_limit_stops_training_once(name, values):
    assert changes(steps(values, name)) <= 1


def test_charge_between_the_thresholds_keeps_what_was():
    limits, memory, said = RULE, Hysteresis(), []
    for charge in [70.0, 50.0, 41.0, 39.0, 41.0, 59.0, 60.0, 61.0, 50.0]:
        readings = given_readings(on_mains=False, charge=charge)
        memory = fold(memory, readings, limits, NOW)
        said.append(may_train(readings, memory, limits, NOW).allowed)
    assert said == [True, True, True, False, False, False, False, True, True]


def test_after_a_calm_moment_it_goes_on_and_the_moment_is_known():
    limits = ConditionLimits()
    memory = fold(Hysteresis(), given_readings(others_cpu=99.0), limits, NOW)
    calm = given_readings(others_cpu=3.0)
    memory = fold(memory, calm, limits, NOW + 15)
    assert not may_train(calm, memory, limits, NOW + 15).allowed
    assert next_look_s(calm, memory, limits, NOW + 15) == CALM_S - 15
    assert may_train(calm, memory, limits, NOW + CALM_S).allowed


def test_a_clock_that_was_set_back_does_not_hold_for_ever():
    limits = ConditionLimits()
    memory = fold(Hysteresis(), given_readings(others_cpu=99.0), limits, NOW + 86_400)
    memory = fold(memory, given_readings(), limits, NOW)
    assert may_train(given_readings(), memory, limits, NOW + CALM_S).allowed


def test_the_limit_is_the_idle_one_only_when_idleness_is_known():
    limits = ConditionLimits(share_in_use=10, share_idle=50)
    assert [
        cpu_percent(given_readings(idle=value), limits) for value in (None, 0.0, 299.0, 300.0)
    ] == [10, 10, 10, 50]
