"""Simulated devices send what real devices compute, and the server makes its step."""

import numpy as np
import pytest

from agent.detector.families import linear
from agent.detector.families.family import Prepared
from server_stub.simulation import heads
from server_stub.training.recipe import SMALL_FLEET
from server_stub.training.server_step import replay, server_step, start

DRAW = np.random.default_rng(4)
TABLE = Prepared(DRAW.normal(size=60), DRAW.normal(size=(60, 8)).astype(np.float32))
LABELS = (np.arange(60) % 2).astype(np.int64)
PUBLIC = replay(TABLE, LABELS)
DEALT = (np.arange(5), np.arange(3, 20), np.array([7, 7, 50]))
HEAD = SMALL_FLEET.head


def fleet(*, is_labelled=False, flipped=(False, False, False)):
    rows = heads.device_rows(TABLE, LABELS, DEALT, is_labelled=is_labelled)
    return heads.HeadFleet(rows, PUBLIC, HEAD, np.array(flipped))


def test_updates_are_those_of_a_device():
    weights = DRAW.normal(size=8)
    benign, labelled = fleet(), fleet(is_labelled=True)
    for device, rows in enumerate(DEALT):
        own = TABLE.take(rows)
        assert benign.update(weights, device) == pytest.approx(
            linear.benign_update(own, weights), abs=1e-6
        )
        assert labelled.update(weights, device) == pytest.approx(
            linear.labelled_update(own, LABELS[rows], weights), abs=1e-6
        )
    other = weights + 1
    assert benign.update(other, 0) != pytest.approx(benign.update(weights, 0), abs=1e-3)


def test_flipped_labels_push_the_other_way():
    honest, lying = fleet(), fleet(flipped=(True, False, False))
    weights = np.zeros(8)
    one, other = honest.update(weights, 0), lying.update(weights, 0)
    probability = linear.probability(TABLE.offsets[:5])
    assert one == pytest.approx(-(probability @ TABLE.features[:5]) / 5, abs=1e-6)
    assert other == pytest.approx(((1 - probability) @ TABLE.features[:5]) / 5, abs=1e-6)


def test_advancing_is_the_servers_step():
    devices, mean = fleet(), DRAW.normal(size=8) / 100
    expected = server_step(start(np.zeros(8)), mean, PUBLIC, HEAD)
    assert (devices.advance(np.zeros(8), mean) == expected.trained).all()
    assert devices.state.rounds_done == 1
    assert devices.recipe.d == 8
    assert devices.recipe.clip_milli(3) == round(1000 * HEAD.clip)
    assert devices.recipe.rate == HEAD.rate


def test_the_control_makes_the_same_rounds_without_devices():
    state = heads.control(PUBLIC, HEAD, 8)
    assert state.rounds_done == HEAD.rounds
    own = fleet()
    for _ in range(HEAD.rounds):
        own.advance(own.state.trained, np.zeros(8))
    assert own.state.scored == pytest.approx(state.scored)
