"""The canary lets no model through that is worse on the operator's rows."""

import numpy as np
import pytest

from server_stub.validation.canary import CanaryRows, figures, judge

DRAW = np.random.default_rng(1)
LABELS = np.repeat([0, 1], [600, 400])
LOGITS = DRAW.normal(0, 1.5, 1000) + np.where(LABELS == 1, 2.0, -2.0)


def rows(shift=0.0, factor=1.0, threshold=0.5):
    return CanaryRows(LABELS, 1 / (1 + np.exp(-(factor * LOGITS + shift))), threshold)


BEST, START = rows(), rows(factor=0.7)


def reasons(candidate, best=BEST, start=START):
    return judge(candidate, best, start).reasons


def test_the_same_model_and_a_better_one_pass():
    assert reasons(BEST) == ()
    assert judge(rows(factor=1.05), BEST, START).passes


def test_the_start_model_passes_as_its_own_candidate():
    assert reasons(START, START) == ()


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (rows(factor=-1), {"LOSS", "FALSE_POSITIVES", "TRUE_POSITIVES"}),
        (rows(shift=2.0), {"LOSS", "FALSE_POSITIVES"}),
        (rows(shift=-2.0), {"LOSS", "TRUE_POSITIVES"}),
    ],
)
def test_a_ruined_model_is_refused_with_every_reason(candidate, expected):
    assert expected <= set(reasons(candidate))


def test_two_standard_errors_behind_the_best_is_within_what_chance_does():
    candidate = rows(shift=0.02)
    assert reasons(candidate) == ()
    assert figures(candidate).fpr >= figures(BEST).fpr


def test_many_small_steps_back_add_up_to_one_large_one():
    steps = [rows(factor=0.7 - 0.1 * number) for number in range(12)]
    refused = [bool(reasons(step, START, START)) for step in steps]
    assert refused == sorted(refused)
    assert refused[1] is False
    assert refused[-1] is True


def test_both_classes_count_the_same_in_the_loss():
    sure = CanaryRows(np.array([0] * 9 + [1]), np.array([0.0] * 9 + [0.5]), 0.5)
    assert sure.losses.mean() == pytest.approx(0.5 * np.log(2), abs=1e-5)


def test_no_single_row_decides():
    certain = CanaryRows(np.array([0, 1]), np.array([1.0, 1.0]), 0.5)
    assert np.isfinite(certain.losses).all()


def test_a_class_that_is_missing_has_no_rate_and_refuses_nothing():
    benign = CanaryRows(np.zeros(50, int), np.linspace(0, 0.4, 50), 0.5)
    assert np.isnan(figures(benign).tpr)
    assert judge(benign, benign, benign).passes


def test_the_record_keeps_the_figures():
    stored = judge(rows(factor=-1), BEST, START).to_json()
    assert set(stored) == {"rows", "candidate", "best", "start", "reasons"}
    assert set(stored["best"]) == {"loss", "fpr", "tpr"}


def fitted(logits, *, is_fitted=True):
    """At the threshold that 1 % of the benign rows reach."""
    chances = 1 / (1 + np.exp(-logits))
    threshold = np.sort(chances[LABELS == 0])[-6]
    return CanaryRows(LABELS, chances, float(threshold), is_fitted)


def test_a_threshold_that_few_rows_decide_leaves_room_for_their_chance():
    """Two models of the same quality, each with errors of its own on the same rows."""
    refused = {False: 0, True: 0}
    for seed in range(60):
        draw = np.random.default_rng(seed)
        first, second = (LOGITS + draw.normal(0, 0.5, 1000) for _ in range(2))
        for is_fitted in refused:
            one, two = (fitted(each, is_fitted=is_fitted) for each in (first, second))
            refused[is_fitted] += not judge(two, one, one).passes
    assert refused[True] <= 2
    assert refused[False] >= 8


def test_a_fitted_threshold_does_not_hide_a_ruined_model():
    best = fitted(LOGITS)
    for worse in (0.1 * LOGITS + DRAW.normal(0, 1, 1000), -LOGITS):
        assert "TRUE_POSITIVES" in judge(fitted(worse), best, best).reasons
