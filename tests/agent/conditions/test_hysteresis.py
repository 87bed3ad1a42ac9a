"""A state is left later than it is entered, so that a trembling reading stops training once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conditions.evaluate import may_train
from agent.conditions.hysteresis import CALM_S, Hysteresis
from agent.conditions.limits import ConditionLimits
from tests.fakes.readings import calm_readings

NOW = 1_800_000_000
LIMITS = ConditionLimits()
ON_BATTERY_ABOVE = ConditionLimits(battery_rule="above")
SAMPLE_S = 15


def allowed(series, limits=LIMITS, step_s=SAMPLE_S):
    """Whether training is allowed after each of these readings."""
    hysteresis, verdicts = Hysteresis(), []
    for step, readings in enumerate(series):
        now = NOW + step * step_s
        hysteresis = hysteresis.update(readings, limits, now)
        verdicts.append(may_train(readings, hysteresis, limits, now).allowed)
    return verdicts


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [84.0, 85.5]),
        ("memory_free", [760.0, 790.0]),
        ("disk_free", [190.0, 210.0]),
        ("others_cpu", [45.0, 55.0]),
        ("on_mains", [True, False]),
    ],
)
def test_a_reading_that_trembles_at_its_limit_stops_training_once(name, values):
    verdicts = allowed([calm_readings(**{name: value}) for value in values * 20])
    assert sum(before != after for before, after in pairwise(verdicts)) <= 1
    assert not verdicts[-1]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("temperature", [84.9, 85.0, 80.1, 80.0, 84.9], [True, False, False, True, True]),
        ("memory_free", [768.0, 767.0, 1023.0, 1024.0, 768.0], [True, False, False, True, True]),
        ("disk_free", [200.0, 199.0, 299.0, 300.0, 200.0], [True, False, False, True, True]),
    ],
)
def test_the_value_that_ends_a_state_lies_beyond_the_one_that_starts_it(name, values, expected):
    assert allowed([calm_readings(**{name: value}) for value in values]) == expected


def test_a_charge_between_the_two_thresholds_changes_nothing():
    charges = [70.0, 50.0, 41.0, 39.0, 41.0, 59.0, 60.0, 61.0, 50.0]
    series = [calm_readings(on_mains=False, charge=charge) for charge in charges]
    expected = [True, True, True, False, False, False, False, True, True]
    assert allowed(series, ON_BATTERY_ABOVE) == expected


def test_thresholds_that_cross_still_leave_a_gap():
    limits = ConditionLimits(battery_rule="above", battery_stop_below=60, battery_start_above=40)
    series = [calm_readings(on_mains=False, charge=charge) for charge in (59.0, 60.0, 61.0, 62.0)]
    assert allowed(series, limits) == [False, False, False, True]


@pytest.mark.parametrize(
    ("name", "bad", "good"), [("others_cpu", 99.0, 3.0), ("on_mains", False, True)]
)
def test_training_resumes_after_a_calm_half_minute(name, bad, good):
    series = [calm_readings(**{name: value}) for value in (bad, good, good, good)]
    assert allowed(series, step_s=CALM_S // 2) == [False, False, True, True]


@pytest.mark.parametrize(
    "changes", [{"others_cpu": 99.0}, {"on_mains": False}], ids=["busy", "on battery"]
)
def test_a_clock_that_was_set_back_does_not_extend_a_wait(changes):
    late = Hysteresis().update(calm_readings(**changes), LIMITS, NOW + 86_400)
    hysteresis = late.update(calm_readings(), LIMITS, NOW)
    assert not may_train(calm_readings(), hysteresis, LIMITS, NOW).allowed
    assert may_train(calm_readings(), hysteresis, LIMITS, NOW + CALM_S).allowed


@pytest.mark.parametrize(
    ("name", "bad"),
    [("temperature", 99.0), ("memory_free", 1.0), ("disk_free", 1.0), ("charge", 1.0)],
)
def test_a_reading_that_becomes_unknown_ends_its_state(name, bad):
    hysteresis = Hysteresis().update(calm_readings(**{name: bad}), LIMITS, NOW)
    assert hysteresis != Hysteresis()
    assert hysteresis.update(calm_readings(**{name: None}), LIMITS, NOW) == Hysteresis()


@given(
    temperature=st.one_of(st.none(), st.floats(0, 120)),
    memory_free=st.one_of(st.none(), st.floats(0, 2000)),
    charge=st.one_of(st.none(), st.floats(0, 100)),
    others_cpu=st.one_of(st.none(), st.floats(0, 100)),
    on_mains=st.sampled_from([True, False, None]),
)
def test_the_same_readings_twice_change_nothing(**changes):
    once = Hysteresis().update(calm_readings(**changes), ON_BATTERY_ABOVE, NOW)
    assert once.update(calm_readings(**changes), ON_BATTERY_ABOVE, NOW) == once
