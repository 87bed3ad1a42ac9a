from dataclasses import fields, replace

import pytest

from agent.errors import OperatorActionError
from agent.protocol.messages import Mode
from server_stub.cli.main import parser
from server_stub.cli.setting_options import SETTING_OPTIONS, apply_setting_options
from server_stub.config.settings import ServerSettings, default_task
from server_stub.rounds.lifecycle import RoundPlan
from tests.fakes.live_server import OPERATOR

SETTINGS = ServerSettings(OPERATOR, default_task(Mode.SECAGG))


def applied(*words):
    return apply_setting_options(SETTINGS, parser().parse_args(["run", *words]))


def test_every_option_names_a_setting():
    known = {field.name for kind in (ServerSettings, RoundPlan) for field in fields(kind)}
    assert {one.settings["dest"] for one in SETTING_OPTIONS} <= known


def test_without_options_nothing_changes():
    assert applied() == SETTINGS


def test_an_option_changes_its_setting_alone():
    assert applied("--phase-seconds", "2m") == replace(
        SETTINGS, rounds=replace(SETTINGS.rounds, phase_s=120)
    )
    assert applied("--port", "0") == replace(SETTINGS, port=0)


def test_the_budget_of_a_period_sets_the_lifetime_budget_unless_both_are_given():
    both = applied("--epsilon", "2.5", "--lifetime-epsilon", "4")
    assert applied("--epsilon", "2.5").lifetime_epsilon_milli == 7500
    assert (both.rounds.epsilon_milli, both.lifetime_epsilon_milli) == (2500, 4000)


@pytest.mark.parametrize(
    ("size", "min_sum", "gamma_milli", "is_test_floor"),
    [("40", 20, 200, False), ("32", 20, 200, False), ("16", 10, 0, True), ("3", 2, 0, True)],
)
def test_small_groups_are_for_tests(size, min_sum, gamma_milli, is_test_floor):
    plan = applied("--group-floor", size).rounds
    assert (plan.min_group, plan.min_sum) == (int(size), min_sum)
    assert (plan.gamma_milli, plan.is_test_floor) == (gamma_milli, is_test_floor)


@pytest.mark.parametrize("words", [("--epsilon", "-1"), ("--port", "70000"), ("--group-max", "1")])
def test_a_setting_out_of_range_is_refused(words):
    with pytest.raises(OperatorActionError) as refused:
        applied(*words)
    assert refused.value.code == "BAD_SETTING"
