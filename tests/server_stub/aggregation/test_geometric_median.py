"""The geometric median is the point with the least sum of distances."""

import numpy as np
import pytest
from scipy.optimize import minimize

from server_stub.aggregation.geometric_median import geometric_median
from server_stub.aggregation.groups import GroupMeans
from tests.fakes.group_means import FACTS, honest_groups


def test_no_other_point_has_a_smaller_sum_of_distances():
    groups = honest_groups(1, groups=9, d=4)

    def cost(point):
        return float(np.linalg.norm(groups.means - point, axis=1).sum())

    best = minimize(cost, groups.means.mean(axis=0), method="Nelder-Mead", tol=1e-10).x
    assert geometric_median(groups, None, FACTS).update == pytest.approx(best, abs=1e-4)


def test_of_three_points_on_a_line_it_is_the_middle_one():
    groups = GroupMeans(np.array([[0.0], [1.0], [100.0]]), np.full(3, 32), np.ones(3))
    assert geometric_median(groups, None, FACTS).update == pytest.approx([1.0], abs=1e-3)
