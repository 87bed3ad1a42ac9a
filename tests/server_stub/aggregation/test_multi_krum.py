"""Multi-Krum leaves out the groups that are far from the others."""

import numpy as np
import pytest

from server_stub.aggregation.groups import Facts
from server_stub.aggregation.multi_krum import multi_krum
from tests.fakes.group_means import FACTS, attacked, honest_groups


def test_the_far_groups_are_left_out_with_the_reason():
    groups = attacked(honest_groups(1), 3, np.full(200, 1.0))
    result = multi_krum(groups, None, FACTS)
    # A hundredth of the devices in groups of 32: 6 of 20 groups may be bad.
    assert result.reasons.count("FAR_FROM_OTHERS") == 6
    assert not result.weights[:3].any()
    assert result.update == pytest.approx(groups.means[result.weights > 0].mean(axis=0))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_few_groups_are_not_compared(number):
    result = multi_krum(honest_groups(2, groups=number), None, FACTS)
    assert set(result.reasons) == {""}


def test_without_attackers_in_the_plan_nothing_is_left_out():
    assert set(multi_krum(honest_groups(3), None, Facts(1.0, 0.0)).reasons) == {""}


def test_the_scores_are_those_of_the_definition():
    groups = honest_groups(4, groups=12, d=30)
    result = multi_krum(groups, None, FACTS)
    out = result.reasons.count("FAR_FROM_OTHERS")
    far = np.linalg.norm(groups.means[:, None] - groups.means[None], axis=2) ** 2
    scores = [
        np.sort(np.delete(row, number))[: 12 - out - 2].sum() for number, row in enumerate(far)
    ]
    assert sorted(np.flatnonzero(result.weights == 0)) == sorted(np.argsort(scores)[12 - out :])
