"""The server's settings: read as written, bounded, and overridden one by one."""

import json
from dataclasses import replace

import pytest

from agent.errors import AegisError
from agent.protocol.invitation import Operator
from agent.protocol.messages import Mode
from server_stub.config.settings import (
    ServerSettings,
    default_task,
    min_group_settings,
    override,
)
from server_stub.rounds.lifecycle import RoundPlan

OPERATOR = Operator("Operator", "mail@example.org", "Nobody", "A month")
SETTINGS = ServerSettings(OPERATOR, default_task(), hosts=("fl.example.org", "192.0.2.7"))


def written():
    return json.loads(json.dumps(SETTINGS.to_json()))


def test_what_was_written_is_read_again():
    assert ServerSettings.from_json(written()) == SETTINGS


@pytest.mark.parametrize("mode", Mode)
def test_a_new_servers_settings_are_acceptable(mode):
    ServerSettings(OPERATOR, default_task(mode)).check()
    assert default_task(mode).mode is mode


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"port": 65_536},
        {"port": True},
        {"port": 1.0},
        {"next_poll_s": 0},
        {"lifetime_epsilon_milli": 1},
        {"hosts": ["a b"]},
        {"hosts": [5]},
        {"url": "http://plain.example"},
        {"url": "https://example.org/path"},
        {"limits": {"connections": 0}},
        {"task": {}},
        {"rounds": {"target": 0}},
        {"rounds": {"more": 1}},
        {"operator": {"name": "x"}},
        {"operator": None},
        {"hosts": None},
    ],
    ids=str,
)
def test_p11_another_content_is_refused(change):
    value = {**written(), **change}
    if isinstance(change.get("rounds"), dict):
        value["rounds"] = {**written()["rounds"], **change["rounds"]}
    with pytest.raises((TypeError, ValueError, KeyError, AegisError)):
        ServerSettings.from_json(value)


PLAN_BOUNDS = {
    "target": (1, 1_000_000),
    "seconds": (1, 7 * 24 * 3600),
    "planned": (1, 100_000),
    "gamma_milli": (0, 500),
    "min_group": (RoundPlan().min_sum, RoundPlan().g_max),
    "min_sum": (2, RoundPlan().min_group),
    "join_s": (1, 15 * 60),
    "server_decay_milli": (0, 2000),
}


@pytest.mark.parametrize(("name", "bounds"), PLAN_BOUNDS.items(), ids=list(PLAN_BOUNDS))
def test_p11_both_ends_of_a_range_are_allowed_and_nothing_beyond(name, bounds):
    for inside in bounds:
        assert getattr(override(SETTINGS, **{name: inside}).rounds, name) == inside
    for outside in (bounds[0] - 1, bounds[1] + 1):
        with pytest.raises(AegisError) as raised:
            override(SETTINGS, **{name: outside})
        assert raised.value.code == "BAD_SETTING"


def test_an_option_that_was_not_given_leaves_its_setting_alone():
    found = override(SETTINGS, port=None, target=5, hosts=("localhost",), url=None)
    assert found == replace(
        SETTINGS, hosts=("localhost",), rounds=replace(SETTINGS.rounds, target=5)
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (64, {"min_group": 64}),
        (32, {"min_group": 32}),
        (16, {"min_group": 16, "min_sum": 10, "gamma_milli": 0}),
        (3, {"min_group": 3, "min_sum": 2, "gamma_milli": 0}),
    ],
)
def test_groups_below_the_products_minimum_are_for_tests(size, expected):
    assert min_group_settings(size) == expected
    assert override(SETTINGS, **expected).rounds.is_test_floor is (size < 32)
