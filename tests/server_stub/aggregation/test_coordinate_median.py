"""The coordinate median is numpy's."""

import numpy as np
import pytest

from server_stub.aggregation.coordinate_median import coordinate_median
from tests.fakes.group_means import FACTS, honest_groups


@pytest.mark.parametrize("groups", [1, 2, 7, 20])
def test_it_is_the_median_of_each_coordinate_over_several_blocks(groups):
    given = honest_groups(1, groups=groups, d=5000)
    result = coordinate_median(given, None, FACTS)
    assert np.array_equal(result.update, np.median(given.means, axis=0))
