"""Intervals against published figures, a direct computation and repeated sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server_stub.demo.intervals import Interval, auc_variance, delong, wilson

NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]
"""Newcombe (1998), Statistics in Medicine 17, table I, method 3."""


@pytest.mark.parametrize(("hits", "trials", "low", "high"), NEWCOMBE)
def test_wilsons_interval_is_the_published_one(hits, trials, low, high):
    interval = wilson(hits, trials)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)
    mirrored = wilson(trials - hits, trials)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - interval.high, 1 - interval.low))


@pytest.mark.parametrize(("hits", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_a_count_that_is_no_proportion_is_refused(hits, trials):
    with pytest.raises(ValueError, match="hits"):
        wilson(hits, trials)


def test_the_auc_of_hanley_and_mcneils_radiologists():
    """Hanley and McNeil (1982), Radiology 143, table I: 58 normal and 51 abnormal images in five
    classes; area 0.893, standard error 0.032.
    """
    ratings = np.arange(5.0)
    normal = np.repeat(ratings, (33, 6, 6, 11, 2))
    abnormal = np.repeat(ratings, (3, 2, 2, 11, 33))
    interval = delong(abnormal, normal)
    assert (interval.low + interval.high) / 2 == pytest.approx(0.893, abs=5e-4)
    assert auc_variance(abnormal, normal) ** 0.5 == pytest.approx(0.032, abs=2e-3)


def naive_variance(malicious, benign):
    """The definition, pair by pair."""
    pairs = np.array([[(m > b) + (m == b) / 2 for b in benign] for m in malicious])
    return np.var(pairs.mean(axis=1), ddof=1) / len(malicious) + np.var(
        pairs.mean(axis=0), ddof=1
    ) / len(benign)


scores = st.lists(st.integers(0, 8).map(float), min_size=2, max_size=30)


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_the_variance_from_ranks_is_the_one_from_pairs(malicious, benign):
    malicious, benign = np.array(malicious), np.array(benign)
    assert auc_variance(malicious, benign) == pytest.approx(naive_variance(malicious, benign))
    interval = delong(malicious, benign)
    assert 0 <= interval.low <= interval.high <= 1
    flipped = delong(benign, malicious)
    assert (flipped.low, flipped.high) == pytest.approx((1 - interval.high, 1 - interval.low))


def test_an_untrained_model_has_half_the_area_for_certain_and_a_perfect_one_has_not():
    same = np.full(20, 0.5)
    assert delong(same, same) == Interval(0.5, 0.5)
    perfect = delong(np.ones(20), np.zeros(40))
    assert perfect.high == 1.0
    assert perfect.low == pytest.approx(1 - 0.1611, abs=5e-5)
    inverted = delong(np.zeros(40), np.ones(20))
    assert (inverted.low, inverted.high) == pytest.approx((0.0, 1 - perfect.low))


def test_intervals_cover_the_truth_about_19_times_in_20():
    """Normal scores one standard deviation apart: the true area is Φ(1/√2)."""
    draw, truth, runs = np.random.default_rng(7), 0.760_249_938_906_524, 2000
    covered = sum(
        interval.low <= truth <= interval.high
        for interval in (delong(draw.normal(1, 1, 80), draw.normal(0, 1, 120)) for _ in range(runs))
    )
    assert 0.93 < covered / runs < 0.97
    covered = sum(
        interval.low <= 0.9 <= interval.high
        for interval in (wilson(int(hits), 200) for hits in draw.binomial(200, 0.9, runs))
    )
    assert 0.93 < covered / runs < 0.97


def test_one_row_of_a_class_says_nothing_about_the_area():
    assert delong(np.ones(1), np.zeros(5)) == Interval(0.0, 1.0)
    with pytest.raises(ValueError, match="two scores"):
        auc_variance(np.ones(5), np.zeros(1))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.1, 0.2), (0.3, 0.4), False),
        ((0.1, 0.3), (0.3, 0.4), True),
        ((0.1, 0.9), (0.3, 0.4), True),
        ((0.5, 0.5), (0.4, 0.6), True),
    ],
)
def test_intervals_overlap_where_they_share_a_value(one, other, expected):
    assert Interval(*one).overlaps(Interval(*other)) is expected
    assert Interval(*other).overlaps(Interval(*one)) is expected
