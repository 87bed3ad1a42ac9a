"""Each attack does to an update what it says."""

import os

import numpy as np
import pytest

from agent.errors import PeerError
from agent.privacy import codec
from server_stub.simulation import attacks
from server_stub.simulation.attacks import SCALE_OVER_FACTOR, Attack, poison
from tests.fakes.secagg import plan

UPDATE = np.array([0.3, -0.1, 0.0, 0.2])


@pytest.mark.parametrize("attack", [Attack.NONE, Attack.LABEL_FLIP])
def test_a_device_that_learns_honestly_sends_its_update_unchanged(attack):
    assert poison(attack, UPDATE, 1.0).tolist() == UPDATE.tolist()


def test_sign_flip_reverses_and_scale_within_uses_the_whole_clipping_norm():
    assert poison(Attack.SIGN_FLIP, UPDATE, 1.0).tolist() == (-UPDATE).tolist()
    scaled = poison(Attack.SCALE_WITHIN, UPDATE, 2.0)
    assert np.linalg.norm(scaled) == pytest.approx(2.0)
    assert scaled @ UPDATE < 0
    assert poison(Attack.SCALE_WITHIN, np.zeros(4), 2.0).tolist() == [0.0] * 4


def test_scale_over_adds_its_factor_past_the_clipping():
    config = plan(20, d=64, bits=32)
    update = np.full(64, 0.05)
    honest, attacking = (
        np.int64(codec.signed(attacks.words(attack, update, config, bytes(32)), config.bits))
        for attack in (Attack.SCALE_WITHIN, Attack.SCALE_OVER)
    )
    # The same entropy makes the same noise, so only the excess is left.
    excess = np.linalg.norm(attacking - honest) * float(config.grid)
    assert excess == pytest.approx((SCALE_OVER_FACTOR - 1) * float(config.clip), rel=0.01)


def test_scale_over_is_out_of_range_for_a_single_update():
    config = plan(20, d=64, bits=32)
    words = attacks.words(Attack.SCALE_OVER, np.full(64, 0.05), config, os.urandom(32))
    with pytest.raises(PeerError) as raised:
        codec.decode_sum(words, config, 1)
    assert raised.value.code == "SUM_OUT_OF_RANGE"
