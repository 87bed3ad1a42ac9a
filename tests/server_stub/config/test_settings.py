import json
from dataclasses import fields, replace

import pytest

from agent.errors import OperatorActionError, PeerError
from agent.protocol.messages import Mode
from server_stub.config.limits import DevicePortLimits, Rate, Rates
from server_stub.config.settings import (
    ServerSettings,
    default_task,
    min_group_settings,
    override,
)
from server_stub.rounds.lifecycle import RoundPlan
from tests.fakes.live_server import OPERATOR

SETTINGS = ServerSettings(OPERATOR, default_task())
CHANGED = replace(
    SETTINGS,
    task=default_task(Mode.LOCAL),
    rounds=RoundPlan(target=3, coordinates=16),
    hosts=("müller.example", "192.0.2.7"),
    url="https://example.org:8443",
    limits=DevicePortLimits(Rates(address=Rate(5, 0.5)), connections=7),
)


@pytest.mark.parametrize("settings", [SETTINGS, CHANGED])
def test_settings_survive_being_written_as_json(settings):
    assert ServerSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_a_file_from_before_the_limits_has_the_defaults():
    document = CHANGED.to_json()
    del document["limits"]
    assert ServerSettings.from_json(document).limits == DevicePortLimits()


@pytest.mark.parametrize("name", ["operator", "task", "rounds", "hosts"])
def test_a_missing_part_is_refused(name):
    document = SETTINGS.to_json()
    del document[name]
    with pytest.raises(KeyError):
        ServerSettings.from_json(document)


def test_unknown_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="unknown settings: colour, size"):
        ServerSettings.from_json({**SETTINGS.to_json(), "size": 1, "colour": 2})
    for part in ("operator", "task", "rounds"):
        document = SETTINGS.to_json()
        with pytest.raises((TypeError, ValueError, PeerError)):
            ServerSettings.from_json({**document, part: {**document[part], "colour": 2}})


PLAN_BOUNDS = {
    "target": (1, 1_000_000),
    "seconds": (1, 7 * 24 * 3600),
    "planned": (10, 100_000),
    "gamma_milli": (0, 500),
    "min_group": (RoundPlan().min_sum, RoundPlan().g_max),
    "min_sum": (2, RoundPlan().min_group),
    "join_s": (1, 15 * 60),
    "server_decay_milli": (0, 2000),
}
PLAN_NUMBERS = [field.name for field in fields(RoundPlan) if field.type is int]


@pytest.mark.parametrize("name", PLAN_NUMBERS)
@pytest.mark.parametrize("number", [-1, 10**16, 1.0, True, "1", None])
def test_p11_every_number_of_a_round_has_its_range(name, number):
    with pytest.raises(ValueError, match=f"{name}: expected "):
        replace(SETTINGS, rounds=replace(SETTINGS.rounds, **{name: number})).check()


@pytest.mark.parametrize(
    "name", ["port", "operator_port", "next_poll_s", "period_days", "lifetime_epsilon_milli"]
)
@pytest.mark.parametrize("number", [-1, 10**16, 1.0, True, "1"])
def test_p11_every_number_of_the_server_has_its_range(name, number):
    with pytest.raises(ValueError, match=f"{name}: expected "):
        replace(SETTINGS, **{name: number}).check()


def test_sizes_and_budgets_that_contradict_each_other_are_refused():
    plan = SETTINGS.rounds
    for rounds in (
        replace(plan, min_group=plan.g_max + 1),
        replace(plan, min_sum=plan.min_group + 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            replace(SETTINGS, rounds=rounds).check()
    lifetime = plan.epsilon_milli - 1
    with pytest.raises(ValueError, match="lifetime_epsilon_milli: expected"):
        replace(SETTINGS, lifetime_epsilon_milli=lifetime).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"operator": replace(OPERATOR, name=7)},
        {"operator": replace(OPERATOR, retention="\udcff")},
        {"hosts": ("",)},
        {"hosts": (7,)},
        {"hosts": ("a b",)},
    ],
    ids=str,
)
def test_texts_that_are_none_and_names_that_are_none_are_refused(changes):
    with pytest.raises(ValueError):  # noqa: PT011  (UnicodeEncodeError is one)
        replace(SETTINGS, **changes).check()


@pytest.mark.parametrize("url", ["http://example.org", "https://", "example.org", "https://a/b"])
def test_an_address_that_devices_could_not_use_is_refused(url):
    with pytest.raises(ValueError, match=r"expected https://host\[:port\]"):
        replace(SETTINGS, url=url).check()


@pytest.mark.parametrize(("name", "bounds"), PLAN_BOUNDS.items(), ids=list(PLAN_BOUNDS))
def test_p11_both_ends_of_a_range_are_allowed_and_nothing_beyond(name, bounds):
    for inside in bounds:
        assert getattr(override(SETTINGS, **{name: inside}).rounds, name) == inside
    for outside in (bounds[0] - 1, bounds[1] + 1):
        with pytest.raises(OperatorActionError) as refused:
            override(SETTINGS, **{name: outside})
        is_price = name == "planned" and outside == 9
        assert refused.value.code == ("PRICE_TOO_HIGH" if is_price else "BAD_SETTING")


def test_fast_spending_is_chosen_and_makes_expensive_rounds_possible():
    with pytest.raises(OperatorActionError) as refused:
        override(SETTINGS, planned=1)
    assert refused.value.code == "PRICE_TOO_HIGH"
    assert override(SETTINGS, planned=1, fast_spending=True).rounds.planned == 1
    with pytest.raises(OperatorActionError, match="fast_spending: expected true or false"):
        override(SETTINGS, fast_spending=1)


def test_options_replace_settings_of_the_server_and_of_its_rounds():
    changed = override(SETTINGS, port=0, target=3, host=None, phase_s=None)
    assert changed == replace(SETTINGS, port=0, rounds=replace(SETTINGS.rounds, target=3))
    with pytest.raises(OperatorActionError, match=r"target: expected 1 to 1000000, got 0") as bad:
        override(SETTINGS, target=0)
    assert bad.value.code == "BAD_SETTING"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (64, {"min_group": 64}),
        (32, {"min_group": 32}),
        (16, {"min_group": 16, "min_sum": 10, "gamma_milli": 0}),
        (3, {"min_group": 3, "min_sum": 2, "gamma_milli": 0}),
    ],
)
def test_groups_below_the_products_minimum_have_their_own_settings(size, expected):
    assert min_group_settings(size) == expected


@pytest.mark.parametrize("size", range(2, 101))
def test_every_group_size_gives_settings_in_range(size):
    plan = replace(RoundPlan(), **min_group_settings(size))
    replace(SETTINGS, rounds=plan).check()
    assert plan.min_group == size
    assert plan.is_test_floor == (size < RoundPlan().min_group)
