"""The anchored mean keeps the groups' lengths, and the root update decides only along itself."""

import numpy as np
import pytest

from server_stub.aggregation.anchored_mean import anchored_mean
from server_stub.aggregation.groups import Facts, GroupMeans
from tests.fakes.group_means import FACTS, direction, honest_groups


def groups_of(*means):
    return GroupMeans(np.array(means, float), np.full(len(means), 32), np.ones(len(means)))


def test_across_the_root_update_groups_count_by_their_cosine():
    result = anchored_mean(groups_of([1, 0], [1, 1], [-1, 5]), np.array([2.0, 0.0]), FACTS)
    half = 1 / np.sqrt(2)
    assert result.weights == pytest.approx([1 / (1 + half), half / (1 + half), 0])
    assert result.update[1] == pytest.approx(result.weights[1])
    assert result.reasons == ("", "", "AGAINST_ROOT")


def test_along_the_root_update_it_is_the_plain_mean_within_the_clip():
    root = np.array([2.0, 0.0])
    assert anchored_mean(groups_of([0.2, 0], [0.4, 1]), root, FACTS).update[0] == pytest.approx(0.3)
    assert anchored_mean(groups_of([9, 0], [8, 1]), root, FACTS).update[0] == pytest.approx(1.0)
    assert anchored_mean(groups_of([9, 0], [-99, 1]), root, FACTS).update[0] == pytest.approx(0.0)


def test_where_every_group_is_against_the_root_update_there_is_no_step():
    result = anchored_mean(groups_of([-1, 0], [-2, 3]), np.array([1.0, 0.0]), FACTS)
    assert not result.update.any()
    assert not result.weights.any()


def test_noise_does_not_make_the_step_along_the_root_update_longer():
    found = [
        anchored_mean(honest_groups(seed, sd=1.0, signal=0.2), direction(), Facts(9.0)).update[0]
        for seed in range(200)
    ]
    # Of 20 groups: 1/√20 each, and 1/√200 of that in the mean.
    assert np.mean(found) == pytest.approx(0.2, abs=0.06)
