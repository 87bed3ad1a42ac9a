from dataclasses import replace
from itertools import product

import pytest

from agent.config.definitions import BY_KEY
from agent.errors import InternalError, OperatorActionError
from agent.privacy.budget import PRODUCT_SPENDING, Allowed, Budget, decide
from agent.privacy.codec import subset
from agent.privacy.policy import DeviceLimits, check_config
from agent.privacy.zcdp import epsilon, rho_units
from agent.protocol.messages import Mode, RoundConfig
from server_stub.config.settings import default_task
from server_stub.rounds.lifecycle import (
    MAX_EPSILON,
    TABLE,
    Event,
    RoundPlan,
    State,
    after,
    check_price,
    due,
    group_config,
    local_config,
    next_identity,
    rho_units_per_round,
)
from tests.fakes.rounds import round_identity


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_in_the_table_or_refused(state, event):
    if (state, event) in TABLE:
        assert after(state, event) is TABLE[state, event]
    else:
        with pytest.raises(InternalError):
            after(state, event)


def test_every_state_can_be_reached_and_two_of_them_are_final():
    reached = {State.OPEN} | set(TABLE.values())
    assert reached == set(State)
    assert {state for state, _ in TABLE} == {State.OPEN, State.COMBINING}


@pytest.mark.parametrize(
    ("updates", "now", "expected"),
    [
        (0, 0, None),
        (4, 99, None),
        (5, 0, Event.TARGET),
        (2, 100, Event.DEADLINE),
        (1, 100, Event.TOO_FEW),
        (0, 100, Event.TOO_FEW),
    ],
)
def test_a_round_ends_at_its_target_or_deadline(updates, now, expected):
    assert due(updates, target=5, minimum=2, closes_at=100, now=now) is expected


@pytest.mark.parametrize("epsilon_milli", [500, 1000, 8000])
def test_the_planned_rounds_cost_no_more_than_the_period_allows_and_devices_accept_them(
    epsilon_milli,
):
    plan = RoundPlan(planned=10, epsilon_milli=epsilon_milli)
    task = default_task(Mode.LOCAL)
    identity = next_identity(
        task, plan, round_id=3, model_version=1, model_digest="ab" * 32, now=1000
    )
    config = local_config(task, plan, identity)
    assert epsilon(10 * rho_units(config), 1e-5) <= epsilon_milli / 1000
    assert epsilon(11 * rho_units(config), 1e-5) > epsilon_milli / 1000 * 0.98
    check_config(config, default_task(Mode.LOCAL), DeviceLimits())
    budget = Budget(epsilon_milli / 1000, 1e-5, 365, 3.0 * epsilon_milli / 1000)
    answer = decide(budget, PRODUCT_SPENDING, [], 1000, rho_units(config))
    assert isinstance(answer, Allowed)
    assert (config.opens_at, config.closes_at) == (1000, 1000 + plan.seconds)


@pytest.mark.parametrize(
    "changes", [{"planned": 9}, {"planned": 1}, {"epsilon_milli": 100_000, "planned": 40}]
)
def test_p4_a_round_that_no_device_would_pay_for_is_not_published(changes):
    """The budget of a device is the plan's, but never above what a person may agree to."""
    plan = RoundPlan(**changes)
    with pytest.raises(OperatorActionError) as caught:
        local_config(default_task(Mode.LOCAL), plan, round_identity())
    assert caught.value.code == "PRICE_TOO_HIGH"
    with pytest.raises(OperatorActionError) as caught:
        group_config(default_task(), plan, round_identity(), g_max=100, min_sum=60)
    assert caught.value.code == "PRICE_TOO_HIGH"
    check_price(replace(plan, fast_spending=True))
    check_price(RoundPlan())


def test_the_largest_budget_is_the_one_of_the_devices_settings():
    assert BY_KEY["budget.epsilon"].maximum == MAX_EPSILON


def test_p4_the_default_plan_survives_five_failures_before_the_person_is_asked():
    plan = RoundPlan()
    price = rho_units_per_round(plan)
    whole = Budget(plan.epsilon_milli / 1000, 1 / plan.delta_inverse, 365, 3.0).rho_units
    assert whole // PRODUCT_SPENDING.day_parts // price == 2
    assert whole // PRODUCT_SPENDING.model_parts // price == 5


def test_a_price_for_which_the_grid_has_no_room_is_the_operators_to_change():
    plan = RoundPlan(epsilon_milli=1, planned=100_000)
    with pytest.raises(OperatorActionError) as caught:
        local_config(default_task(Mode.LOCAL), plan, round_identity())
    assert caught.value.code == "PRICE_TOO_LOW"


@pytest.mark.parametrize("mode", [Mode.LOCAL, Mode.SECAGG])
def test_a_subset_of_coordinates_is_drawn_for_each_round_and_accepted_by_devices(mode):
    task, seeds = default_task(mode), iter(f"{number:064x}" for number in range(100))

    def config_of(number, coordinates):
        plan = RoundPlan(coordinates=coordinates)
        identity = next_identity(
            task,
            plan,
            round_id=number,
            model_version=1,
            model_digest="ab" * 32,
            now=0,
            random_hex=lambda _: next(seeds),
        )
        if mode is Mode.LOCAL:
            return local_config(task, plan, identity)
        return group_config(task, plan, identity, g_max=40, min_sum=30)

    one, other = config_of(1, 40), config_of(2, 40)
    for config in (one, other):
        check_config(RoundConfig.from_json(config.to_json()), task, DeviceLimits())
        assert config.subset_k == 40
    assert len({one.subset_seed, other.subset_seed, one.rotation_seed, other.rotation_seed}) == 4
    assert subset(one).tolist() != subset(other).tolist()
    for all_of_them in (0, 128, 5000):
        config = config_of(3, all_of_them)
        assert (config.subset_k, config.subset_seed) == (0, "")
