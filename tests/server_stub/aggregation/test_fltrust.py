"""FLTrust: the cosine with the root update decides, and its length is that of the step."""

import numpy as np
import pytest

from server_stub.aggregation.fltrust import fltrust
from server_stub.aggregation.groups import GroupMeans
from tests.fakes.group_means import FACTS


def test_groups_are_scaled_to_the_root_update_and_count_by_their_cosine():
    means = np.array([[2.0, 0.0], [3.0, 3.0], [-1.0, 0.0]])
    result = fltrust(GroupMeans(means, np.full(3, 32), np.ones(3)), np.array([0.5, 0.0]), FACTS)
    half = 1 / np.sqrt(2)
    assert result.weights == pytest.approx([1 / (1 + half), half / (1 + half), 0])
    expected = 0.5 * (result.weights[0] * np.array([1, 0]) + result.weights[1] * half * np.ones(2))
    assert result.update == pytest.approx(expected)
    assert result.reasons == ("", "", "AGAINST_ROOT")
