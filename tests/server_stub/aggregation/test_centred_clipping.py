"""Centred clipping: no group pulls harder than the usual distance."""

import numpy as np

from server_stub.aggregation.centred_clipping import centred_clipping
from tests.fakes.group_means import FACTS, attacked, honest_groups


def test_groups_far_away_are_marked_and_pull_no_harder_than_others():
    honest = honest_groups(1)
    near = centred_clipping(honest, None, FACTS).update
    for distance in (10.0, 1000.0):
        result = centred_clipping(attacked(honest, 1, np.full(200, distance)), None, FACTS)
        assert result.reasons[0] == "LONG"
        assert np.linalg.norm(result.update - near) < 0.3
