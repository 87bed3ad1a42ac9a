"""Without protection the model moves by the mean of what devices sent, and nothing is charged."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from server_stub.simulation.attacks import SCALE_OVER_FACTOR, Attack
from server_stub.simulation.groups import PHASES, open_directly
from server_stub.simulation.training import RECIPES, Recipe
from server_stub.simulation.unprotected import ClearWorld, PlainWorld
from server_stub.simulation.world import planned

DEVICES = 8
D = RECIPES["logistic"].d


@dataclass
class ConstantFleet:
    """Devices that always compute the same update."""

    updates: np.ndarray
    recipe: Recipe = field(default_factory=lambda: RECIPES["logistic"])

    def update(self, _, device):
        return self.updates[device]

    def advance(self, weights, mean):
        return weights + mean


@pytest.fixture
def make_world(options):
    """Makes a world of eight devices with short updates, and `changes` to its options."""

    def make(attacking=(), kind=PlainWorld, **changes):
        chosen = options(devices=DEVICES, group=4, plain=True, **changes)
        config, _, _ = planned(chosen, RECIPES["logistic"])
        draw = np.random.default_rng(3)
        updates = draw.normal(size=(DEVICES, D))
        updates *= 0.5 * float(config.clip) / np.linalg.norm(updates, axis=1, keepdims=True)
        flags = np.isin(np.arange(DEVICES), attacking)
        return kind(chosen, ConstantFleet(updates), flags, config, draw, open_directly)

    return make


def test_the_model_moves_by_the_mean_of_all_updates_and_nothing_is_charged(make_world):
    world = make_world(top_k=D)
    result = world.run_round(1, lambda: "judged")
    step = np.abs(world.fleet.updates).max() / 127
    assert world.weights == pytest.approx(world.fleet.updates.mean(axis=0), abs=step)
    assert (result.survivors, result.opened, result.rejected, result.refused) == (DEVICES, 1, 0, 0)
    assert result.metrics == "judged"
    assert world.central_units == 0
    assert not any(world.charges)
    assert world.traffic[0][0] > 0


def test_what_top_k_leaves_out_arrives_in_later_rounds(make_world):
    world, rounds = make_world(top_k=D // 10), 400
    for number in range(1, rounds + 1):
        world.run_round(number, lambda: None)
    assert world.weights / rounds == pytest.approx(world.fleet.updates.mean(axis=0), abs=0.005)


@pytest.mark.parametrize("phase", PHASES)
def test_a_device_that_falls_silent_in_any_phase_sends_nothing(make_world, phase):
    world = make_world(top_k=D, drop=0.5, drop_phase=phase)
    result = world.run_round(1, lambda: None)
    assert 0 < result.survivors < DEVICES
    assert result.answered == dict.fromkeys(PHASES, result.survivors)


def test_a_round_without_any_device_leaves_the_model_alone(make_world):
    world = make_world(drop=0.9)
    while world.run_round(1, lambda: None).survivors:
        world.weights[:] = 0
        world.traffic.clear()
    assert not world.weights.any()
    assert world.traffic == []


def test_long_updates_are_clipped_and_a_modified_program_exceeds_the_clipping(make_world):
    clip = float(make_world().config.clip)
    for attack, expected in ((Attack.NONE, clip), (Attack.SCALE_OVER, SCALE_OVER_FACTOR * clip)):
        world = make_world(attacking=range(DEVICES), attack=attack, top_k=D)
        world.fleet.updates[:] = world.fleet.updates[0] * 100
        world.run_round(1, lambda: None)
        assert np.linalg.norm(world.weights) == pytest.approx(expected, rel=0.02)


def test_only_attackers_attack(make_world):
    world = make_world(attacking=[2], attack=Attack.SIGN_FLIP, top_k=D)
    world.run_round(1, lambda: None)
    expected = world.fleet.updates.copy()
    expected[2] *= -1
    assert world.weights == pytest.approx(expected.mean(axis=0), abs=0.01)


def test_without_compression_the_mean_is_that_of_the_clipped_updates(make_world):
    world = make_world(kind=ClearWorld, attack=Attack.SIGN_FLIP, attacking=(0,))
    result = world.run_round(1, lambda: "judged")
    updates = world.fleet.updates.copy()
    updates[0] *= -1
    assert world.weights == pytest.approx(updates.mean(axis=0))
    assert (result.survivors, result.opened) == (DEVICES, 1)
    assert world.charges == [[] for _ in range(DEVICES)]
