"""Norm clipping scales down the long means and no others."""

import numpy as np
import pytest

from server_stub.aggregation.norm_clipping import USUAL_LENGTHS, norm_clipping
from tests.fakes.group_means import FACTS, attacked, honest_groups


def test_a_long_mean_is_scaled_to_twice_the_usual_length():
    groups = attacked(honest_groups(1), 1, np.full(200, 50.0))
    result = norm_clipping(groups, None, FACTS)
    assert result.reasons == ("LONG", *[""] * 19)
    usual = float(np.median(np.linalg.norm(groups.means, axis=1)))
    factor = USUAL_LENGTHS * usual / np.linalg.norm(groups.means[0])
    expected = (groups.means[0] * factor + groups.means[1:].sum(axis=0)) / 20
    assert result.update == pytest.approx(expected)
