"""The trimmed mean is scipy's."""

import numpy as np
import pytest
from scipy.stats import trim_mean

from server_stub.aggregation.groups import Facts, bad_groups
from server_stub.aggregation.trimmed_mean import trimmed_mean
from tests.fakes.group_means import honest_groups


@pytest.mark.parametrize("share", [0.0, 0.005, 0.5])
def test_it_leaves_out_as_many_at_each_end_as_groups_may_be_bad(share):
    groups, facts = honest_groups(1, d=3000), Facts(1.0, share)
    cut = min(bad_groups(groups, facts), 9)
    result = trimmed_mean(groups, None, facts)
    assert result.update == pytest.approx(trim_mean(groups.means, cut / 20 + 1e-9, axis=0))


def test_one_bad_group_moves_a_coordinate_by_no_more_than_the_others_spread():
    groups = honest_groups(2)
    groups.means[0] = 1e6
    assert np.abs(trimmed_mean(groups, None, Facts(1.0)).update).max() < 1
