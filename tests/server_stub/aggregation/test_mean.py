"""The mean of updates and of groups' sums: exact in the sum, unbiased, and a bad group costs itself
alone.
"""

import os

import numpy as np
import pytest

from agent.errors import AegisError
from agent.privacy.codec import clip, encode_update, noise_sd
from agent.privacy.seal import seal
from agent.protocol.messages import Mode
from server_stub.aggregation.mean import mean_of_groups, mean_update
from server_stub.config.settings import default_task
from server_stub.rounds.lifecycle import RoundPlan, local_config
from tests.fakes.rounds import round_identity
from tests.fakes.secagg import plan

GROUP = plan(40, min_sum=20, gamma_milli=200, d=50)


@pytest.fixture(scope="module")
def config():
    settings = RoundPlan(epsilon_milli=8000, planned=10)
    return local_config(default_task(Mode.LOCAL), settings, round_identity(round_id=7))


def vectors(count, d, seed=0):
    draw = np.random.default_rng(seed)
    return [clip(draw.normal(size=d), 1.0) for _ in range(count)]


def summed(values):
    """A group's sum, modulo 2^32 as it comes out of the protocol."""
    total = np.zeros(GROUP.d_padded, np.uint32)
    for value in values:
        total += encode_update(value, GROUP, os.urandom(32))
    return total & np.uint32(2**GROUP.bits - 1), len(values)


def test_the_mean_of_many_updates_is_near_their_mean(config):
    values = vectors(400, config.d)
    bodies = [seal(value, config, os.urandom(8).hex()) for value in values]
    mean, count = mean_update(bodies, config)
    assert count == 400
    error = mean - np.mean(values, axis=0)
    assert np.sqrt(np.mean(error**2)) < 1.5 * noise_sd(config, 400)


def test_the_order_of_updates_does_not_change_the_mean(config):
    bodies = [seal(value, config, os.urandom(8).hex()) for value in vectors(20, config.d)]
    forwards, backwards = mean_update(bodies, config)[0], mean_update(bodies[::-1], config)[0]
    assert np.array_equal(forwards, backwards)


def test_without_an_update_there_is_no_mean(config):
    with pytest.raises(AegisError) as raised:
        mean_update([], config)
    assert raised.value.code == "WRONG_SHAPE"


def test_p11_an_update_in_another_form_is_refused(config):
    bodies = [seal(np.zeros(config.d), config, "ab" * 8), b"no envelope"]
    with pytest.raises(AegisError) as raised:
        mean_update(bodies, config)
    assert raised.value.code == "BAD_ENVELOPE"


def test_every_device_has_the_same_weight_whatever_the_size_of_its_group():
    small, large = vectors(20, GROUP.d, 1), vectors(40, GROUP.d, 2)
    mean, usable = mean_of_groups([summed(small), summed(large)], GROUP)
    assert usable == [True, True]
    error = mean - np.mean([*small, *large], axis=0)
    assert np.abs(error).max() < 6 * noise_sd(GROUP, 60)


def test_p6_a_sum_that_no_honest_group_can_have_is_left_out_alone():
    values = vectors(20, GROUP.d)
    far = np.full(GROUP.d_padded, 2 ** (GROUP.bits - 1), np.uint32)
    mean, usable = mean_of_groups([(far, 20), summed(values), (far, 40)], GROUP)
    assert usable == [False, True, False]
    assert np.abs(mean - np.mean(values, axis=0)).max() < 6 * noise_sd(GROUP, 20)


@pytest.mark.parametrize("sums", [[], [(np.full(GROUP.d_padded, 2 ** (GROUP.bits - 1)), 20)]])
def test_without_a_usable_sum_there_is_no_mean(sums):
    with pytest.raises(AegisError) as raised:
        mean_of_groups(sums, GROUP)
    assert raised.value.code == "SUM_OUT_OF_RANGE"


def test_p11_a_sum_of_another_shape_is_left_out():
    values = vectors(20, GROUP.d)
    short = np.zeros(GROUP.d_padded - 1, np.uint32)
    assert mean_of_groups([(short, 20), summed(values)], GROUP)[1] == [False, True]
