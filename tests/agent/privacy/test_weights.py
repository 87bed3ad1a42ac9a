"""Weighted averaging: the weighted mean comes out, the weight costs no privacy, and nobody moves
the model beyond the floor.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import PeerError
from agent.privacy import codec, weights
from agent.privacy.plan import plan_secagg
from agent.privacy.policy import DeviceLimits, check_config
from agent.privacy.zcdp import rho_units
from agent.protocol.messages import Mode, Task
from tests.fakes.rounds import round_identity

TASK = Task("t", "s", "logistic", 20, Mode.SECAGG, 10, 100, 1000, min_rows=5, weight_cap=50)
PLAIN = replace(TASK, weight_cap=0)


def plan(task, price=2**40 // 300):
    return plan_secagg(
        task, round_identity(), rho_units_per_round=price, g_max=40, min_sum=32, min_group=32
    )


def test_off_by_default_and_then_nothing_changes():
    assert Task("t", "s", "logistic", 20, Mode.SECAGG, 10, 100, 1000, 5).weight_cap == 0
    update = np.linspace(-1, 1, 20)
    assert weights.outgoing(update, 3, PLAIN).tolist() == codec.clip(update, 1.0).tolist()
    assert weights.incoming(update, PLAIN, plan(PLAIN), 40) is update


@given(st.integers(5, 10_000), st.floats(0.001, 1e6))
@settings(max_examples=50, deadline=None)
def test_p5_update_and_weight_together_stay_within_the_clipping_norm(rows, length):
    update = np.ones(20) / 20**0.5 * length
    sent = weights.outgoing(update, rows, TASK)
    assert sent.shape == (TASK.width,) == (21,)
    assert np.linalg.norm(sent) <= weights.share_of(rows, TASK) * (1 + 1e-12)
    assert codec.clip(sent, 1.0) == pytest.approx(sent, rel=1e-12)


def test_p5_a_weighted_round_costs_what_an_unweighted_one_does():
    price = 2**40 // 300
    config = plan(TASK, price)
    check_config(config, TASK, DeviceLimits())
    assert rho_units(config) <= price
    for other in (PLAIN, replace(TASK, d=21)):
        with pytest.raises(PeerError) as raised:
            check_config(config, other, DeviceLimits())
        assert raised.value.code == "ROUND_SHAPE"


def test_the_weighted_mean_comes_out():
    """40 devices in one sum, rows from 5 to 83: the decoded step is the weighted mean of their
    updates.
    """
    config, rng = plan(TASK, 2**46), np.random.default_rng(3)
    rows = np.arange(40) * 2 + 5
    updates = [codec.clip(rng.normal(size=20), 0.5) for _ in rows]
    total = np.zeros(config.d_padded, np.uint32)
    for update, count in zip(updates, rows, strict=True):
        total += codec.encode_update(
            weights.outgoing(update, int(count), TASK), config, rng.bytes(32)
        )
    step = weights.incoming(codec.decode_sum(total, config, 40), TASK, config, 40)
    share = np.minimum(rows, 50) / 50
    wanted = np.average(updates, axis=0, weights=share)
    assert np.abs(step - wanted).max() < 6 * codec.noise_sd(config, 40) / share.mean()
    assert np.linalg.norm(step - wanted) < np.linalg.norm(np.mean(updates, axis=0) - wanted)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 1e-9])
def test_p11_a_sum_of_weights_near_nothing_does_not_blow_the_step_up(weight):
    config = plan(TASK)
    mean = np.append(np.full(20, 0.01), weight)
    floor = max(5 / 50, 2 * codec.noise_sd(config, 40) / 0.6)
    assert weights.incoming(mean, TASK, config, 40) == pytest.approx(
        np.full(20, 0.01) / min(floor, 1.0)
    )


def test_a_sum_of_weights_above_the_number_of_devices_counts_as_that():
    mean = np.append(np.full(20, 0.01), 5.0)
    assert weights.incoming(mean, TASK, plan(TASK), 40) == pytest.approx(np.full(20, 0.01))
