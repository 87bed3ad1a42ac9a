"""What holds for every rule, and which attack each of them survives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import PeerError
from server_stub.aggregation.groups import GroupMeans
from server_stub.aggregation.rules import NEED_ROOT, RULES
from tests.fakes.group_means import FACTS, attacked, direction, honest_groups

TRUTH = np.zeros(200)
TRUTH[0] = 0.5


def error(rule, groups):
    return float(np.linalg.norm(RULES[rule](groups, direction(), FACTS).update - TRUTH))


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), d=st.integers(1, 30))
def test_the_order_of_the_groups_changes_nothing_and_the_result_is_finite(rule, seed, count, d):
    draw = np.random.default_rng(seed)
    groups = GroupMeans(draw.normal(size=(count, d)), draw.integers(2, 60, count), np.ones(count))
    root, order = draw.normal(size=d), draw.permutation(count)
    one = RULES[rule](groups, root, FACTS)
    other = RULES[rule](
        GroupMeans(groups.means[order], groups.counts[order], groups.noise_sd), root, FACTS
    )
    assert np.isfinite(one.update).all()
    assert one.update.shape == (d,)
    assert one.update == pytest.approx(other.update, abs=1e-6)
    assert one.weights[order] == pytest.approx(other.weights, abs=1e-6)
    assert float(one.weights.sum()) == pytest.approx(1) or not one.weights.any()
    assert len(one.reasons) == count


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"fltrust"}))
def test_groups_that_agree_are_combined_to_what_they_say(rule):
    means = np.tile(TRUTH, (9, 1))
    same = GroupMeans(means, np.full(9, 40), np.ones(9))
    assert RULES[rule](same, direction(), FACTS).update == pytest.approx(TRUTH, abs=1e-9)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"fltrust"}))
def test_without_an_attack_no_rule_is_far_from_the_truth(rule):
    # The mean of 20 groups has an error of 0.05·√200/√20 = 0.16.
    assert error(rule, honest_groups(1)) < 0.26


@pytest.mark.parametrize(
    ("rule", "survives"),
    [
        ("mean", False),
        ("norm-clipping", False),
        ("coordinate-median", True),
        ("trimmed-mean", True),
        ("geometric-median", True),
        ("multi-krum", True),
        ("centred-clipping", True),
    ],
)
def test_a_group_that_is_far_away_moves_only_the_weak_rules(rule, survives):
    groups = attacked(honest_groups(2), 4, -40 * TRUTH)
    # Norm clipping lets a bad group count for two good ones.
    assert (error(rule, groups) < 0.35) is survives


@pytest.mark.parametrize("rule", sorted(NEED_ROOT))
def test_most_groups_may_be_bad_where_there_is_a_root_update(rule):
    bad = attacked(honest_groups(3), 14, -4 * TRUTH)
    result = RULES[rule](bad, direction(), FACTS)
    assert result.update[0] > 0 or rule == "anchored-mean"
    assert result.reasons[:14] == ("AGAINST_ROOT",) * 14
    assert not result.weights[:14].any()
    across = result.update.copy()
    across[0] = 0
    assert np.linalg.norm(across) < 0.5


@pytest.mark.parametrize("rule", sorted(NEED_ROOT))
@pytest.mark.parametrize("root", [None, np.zeros(200)])
def test_a_rule_that_needs_a_root_update_says_so(rule, root):
    with pytest.raises(PeerError) as raised:
        RULES[rule](honest_groups(4), root, FACTS)
    assert raised.value.code == "NO_ROOT"


@pytest.mark.parametrize("rule", RULES)
def test_a_single_group_is_no_special_case(rule):
    groups = honest_groups(5, groups=1)
    assert np.isfinite(RULES[rule](groups, direction(), FACTS).update).all()


@pytest.mark.parametrize("rule", RULES)
def test_values_of_32_bits_give_the_same_as_values_of_64_bits(rule):
    wide = honest_groups(6)
    narrow = GroupMeans(wide.means.astype(np.float32), wide.counts, wide.noise_sd)
    one, other = (RULES[rule](groups, direction(), FACTS) for groups in (wide, narrow))
    assert other.update.dtype == np.float64
    assert one.update == pytest.approx(other.update, abs=1e-5)
