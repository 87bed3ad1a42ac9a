"""What rules share: how noisy a mean is, how many groups may be bad, and how weights combine."""

import os

import numpy as np
import pytest

from agent.privacy.codec import decode_sum, encode_update
from server_stub.aggregation.groups import Facts, GroupMeans, bad_groups, spread, weighted
from tests.fakes.group_means import honest_groups
from tests.fakes.secagg import plan


def test_the_spread_is_what_real_noise_and_rounding_leave_in_a_mean():
    config = plan(40, min_sum=20, gamma_milli=200, d=50)
    vector = np.full(50, 0.1)
    total = np.zeros(config.d_padded, np.uint32)
    errors = []
    for _ in range(40):
        total[:] = 0
        for _ in range(20):
            total += encode_update(vector, config, os.urandom(32))
        mean = decode_sum(total & np.uint32(2**config.bits - 1), config, 20)
        errors.append(mean - vector)
    # 2,000 values: their standard deviation is known to 1.6 %.
    assert np.std(errors) == pytest.approx(spread(config, 20), rel=0.08)


def test_the_groups_that_may_hold_an_attacker_follow_from_the_share_of_attackers():
    groups = honest_groups(1, groups=100, size=32)
    assert [bad_groups(groups, Facts(1.0, share)) for share in (0, 0.01, 0.05, 1)] == [
        0,
        28,
        81,
        100,
    ]


def test_weights_without_a_total_make_no_step():
    groups = GroupMeans(np.ones((2, 3)), np.full(2, 32), np.ones(2))
    assert not weighted(groups, np.zeros(2), ("", "")).update.any()
