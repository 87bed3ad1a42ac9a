"""Devices of a simulation keep to their budget, and groups are drawn anew in every round."""

import numpy as np
import pytest

from agent.privacy.zcdp import rho_for_epsilon, rho_sum_units, rho_units
from server_stub.simulation.data import Share
from server_stub.simulation.groups import open_directly
from server_stub.simulation.training import RECIPES, Fleet
from server_stub.simulation.world import DELTA, World, planned, round_identity


def test_p5_devices_refuse_a_round_that_their_budget_does_not_cover(options, table):
    once = options(rounds=1)
    config, _, _ = planned(once, RECIPES["logistic"])
    rows = np.load(table)
    shares = tuple(Share(rows["X"][at : at + 4], rows["y"][at : at + 4]) for at in range(0, 160, 4))
    world = World(
        once,
        Fleet(shares, RECIPES["logistic"], np.zeros(40, bool)),
        np.zeros(40, bool),
        config,
        np.random.default_rng(1),
        open_directly,
    )
    assert world.run_round(1, lambda: None).refused == 0
    result = world.run_round(2, lambda: None)
    assert (result.refused, result.groups, result.survivors) == (40, 0, 0)
    assert {sum(spent.units for spent in paid) for paid in world.charges} == {rho_units(config)}
    assert rho_units(config) <= rho_for_epsilon(1.0, DELTA)


@pytest.mark.parametrize(("attackers", "honest"), [(0, 40 - 2 * 4), (12, 40 - 4 - 12)])
def test_the_sum_over_all_devices_counts_no_noise_of_attackers_or_colluders(
    options, table, attackers, honest
):
    """In one of the two groups; where they are more than the colluders, they replace them."""
    chosen = options(rounds=1)
    config, _, _ = planned(chosen, RECIPES["logistic"])
    assert config.colluders == 4
    rows = np.load(table)
    shares = tuple(Share(rows["X"][at : at + 4], rows["y"][at : at + 4]) for at in range(0, 160, 4))
    attacking = np.arange(40) < attackers
    world = World(
        chosen,
        Fleet(shares, RECIPES["logistic"], np.zeros(40, bool)),
        attacking,
        config,
        InOrder(),
        open_directly,
    )
    assert world.run_round(1, lambda: None).survivors == 40
    assert world.central_units == rho_sum_units(config, honest, 40)


class InOrder:
    """Draws groups in the order of the devices, and nobody drops out."""

    def permutation(self, devices):
        return np.asarray(devices)

    def random(self, count):
        return np.ones(count)

    def integers(self, low, high, count):
        return np.zeros(count, int)

    def bytes(self, count):
        return bytes(count)


def test_rounds_differ_in_number_times_and_seeds_and_repeat_with_their_seed():
    draw = np.random.default_rng(5)
    first, second = round_identity(1, 8, draw), round_identity(2, 8, draw)
    assert (first.round_id, first.closes_at) == (1, second.opens_at)
    seeds = {first.rotation_seed, first.subset_seed, second.rotation_seed, second.subset_seed}
    assert len(seeds) == 4
    assert round_identity(1, 8, np.random.default_rng(5)) == first
    assert round_identity(1, 0, draw).subset_seed == ""
