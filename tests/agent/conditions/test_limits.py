"""The limits follow the settings, the policy's included."""

from dataclasses import fields

from agent.conditions.limits import DAYS, ConditionLimits
from agent.config.settings import BY_KEY, Settings

CHANGED = {
    "cpu.share_in_use": 15,
    "cpu.share_idle": 60,
    "memory.limit_mib": 1024,
    "battery.rule": "above",
    "battery.stop_below": 30,
    "battery.start_above": 70,
    "idle.only": True,
    "idle.minutes": 10,
    "busy.share": 40,
    "temperature.stop_c": 75,
    "network.metered": "always",
    **{f"hours.{day}": "22:00-06:00" for day in DAYS},
}


def test_each_limit_comes_from_its_setting():
    limits = ConditionLimits.from_settings(Settings(CHANGED, {}))
    assert limits == ConditionLimits(
        share_in_use=15,
        share_idle=60,
        memory_mib=1024,
        battery_rule="above",
        battery_stop_below=30,
        battery_start_above=70,
        idle_only=True,
        idle_s=600,
        busy_percent=40,
        stop_c=75,
        week=("22:00-06:00",) * 7,
        metered_allowed=True,
    )
    unchanged = [
        field.name for field in fields(limits) if getattr(limits, field.name) == field.default
    ]
    assert unchanged == []


def test_the_defaults_of_the_settings_are_those_of_the_limits():
    assert ConditionLimits.from_settings(Settings({}, {})) == ConditionLimits()


def test_a_bound_of_the_policy_counts():
    limits = ConditionLimits.from_settings(Settings({"cpu.share_idle": 60}, {"cpu.share_idle": 20}))
    assert limits.share_idle == 20


def test_the_days_are_those_that_have_a_setting():
    assert {key for key in BY_KEY if key.startswith("hours.")} == {f"hours.{day}" for day in DAYS}
