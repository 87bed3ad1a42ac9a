"""What follows from the options of a demonstration."""

from pathlib import Path

import pytest

from agent.errors import UserActionError
from agent.privacy.budget import FAST_SPENDING
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import rho_for_epsilon
from server_stub.demo.plan import FAMILIES, MAX_RHO_UNITS, PHASES, DemoPlan
from server_stub.demo.rounds import AFTER_ROUND_S


@pytest.mark.parametrize(
    "change",
    [
        {"devices": 1},
        {"devices": 501},
        {"rounds": 0},
        {"rounds": 49},
        {"epsilon": 0.0},
        {"epsilon": 11.0},
        {"epsilon": float("nan")},
        {"drop": 1.0},
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_options_out_of_range_are_refused_before_anything_starts(change):
    with pytest.raises(UserActionError) as caught:
        DemoPlan(**change).check()
    assert caught.value.code == "BAD_OPTION"


def test_no_round_costs_more_than_a_device_spends_on_one():
    assert DeviceLimits().max_rho_units == MAX_RHO_UNITS
    for plan in (
        DemoPlan(rounds=1, epsilon=10.0),
        DemoPlan(rounds=3, epsilon=8.0),
        DemoPlan(rounds=8, epsilon=8.0),
    ):
        assert plan.rounds <= plan.planned_rounds
        assert rho_for_epsilon(plan.epsilon, plan.delta) // plan.planned_rounds <= MAX_RHO_UNITS


def test_which_devices_drop_out_depends_on_the_seed_and_on_the_round():
    plan = DemoPlan(devices=21, drop=0.2)
    first, second = plan.drop_outs(1, 20), plan.drop_outs(2, 20)
    assert first == plan.drop_outs(1, 20)
    assert len(first) == len(second) == 4
    assert first != second
    options = plan.server_options(Path("m"), 20, 1)
    assert options[options.index("--rounds-target") + 1] == "17"
    assert DemoPlan(devices=2, drop=0.9).drop_outs(1, 1) == {}
    assert set(first.values()) == {"shares", "masked", "consistency", "unmask"}
    assert set(DemoPlan(devices=21, drop=0.2, mode="local").drop_outs(1, 20).values()) == {"masked"}


def test_small_groups_are_a_test_floor_that_both_sides_share_and_large_ones_are_the_products():
    small, large = DemoPlan(devices=20), DemoPlan(devices=100)
    assert (small.device_limits, small.limits_text) == (
        DeviceLimits(16, 10, 0, spending=FAST_SPENDING),
        "test floor: groups of 16, sums of 10",
    )
    options = small.server_options(Path("m"), 19, 1)
    assert options[options.index("--group-floor") + 1] == "16"
    assert (large.device_limits, large.limits_text) == (
        DeviceLimits(spending=FAST_SPENDING),
        "the product's own floor: groups of 32, sums of 20",
    )
    assert "--group-floor" not in large.server_options(Path("m"), 99, 1)
    assert DemoPlan(mode="local").device_limits == DeviceLimits(spending=FAST_SPENDING)
    assert all("--fast-spending" in plan.server_options(Path("m"), 9, 1) for plan in (small, large))


def test_the_recipe_of_a_detector_states_how_a_head_is_trained():
    head, logistic = (
        DemoPlan(family=family).server_options(Path("m"), 19, 1) for family in FAMILIES
    )
    assert DemoPlan().has_base
    assert ("--detector" in head, "--clip-milli" in head) == (True, False)
    assert ("--detector" in logistic, "--clip-milli" in logistic) == (False, True)


@pytest.mark.parametrize("devices", [3, 4, 20, 39, 40, 500])
@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_the_longest_round_of_groups_ends_before_it_is_given_up(devices, drop):
    plan = DemoPlan(devices=devices, drop=drop)
    options = plan.server_options(Path("model"), devices - 1, 1)
    join_s, phase_s = (
        int(options[options.index(f"--{name}") + 1]) for name in ("join-seconds", "phase-seconds")
    )
    assert join_s + len(PHASES) * phase_s < plan.round_seconds + AFTER_ROUND_S


def test_a_phase_is_longer_where_no_device_drops_out_on_purpose():
    def phase_s(drop):
        options = DemoPlan(devices=20, drop=drop).server_options(Path("model"), 19, 1)
        return int(options[options.index("--phase-seconds") + 1])

    assert phase_s(0.0) >= 2 * phase_s(0.2)
