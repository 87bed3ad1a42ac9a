"""A model is judged on the hold-out alone, and its intervals hold its figures."""

import numpy as np
import pytest

from agent.detector.synthetic import generate
from server_stub.demo import baselines
from server_stub.demo.evaluation import evaluate
from server_stub.demo.intervals import Interval
from server_stub.simulation import data


@pytest.fixture(scope="module")
def table():
    rows = generate(np.random.default_rng(5), 1500, group_rows=3)
    held_out = data.held_out_groups(rows.groups, 5)
    return data.from_arrays("generated", rows.rows, rows.labels, held_out)


def test_an_untrained_model_calls_every_row_malicious(table):
    seen = evaluate(np.zeros(116), table)
    assert seen.metrics.accuracy == pytest.approx(np.mean(table.holdout_labels))
    assert (seen.metrics.auc, seen.metrics.fpr) == (0.5, 1.0)
    assert seen.auc_interval == Interval(0.5, 0.5)
    assert seen.accuracy_interval.low < seen.metrics.accuracy < seen.accuracy_interval.high


def test_a_trained_model_lies_within_its_intervals_and_far_from_chance(table):
    weights = baselines.central(data.deal(table, 6, 200, 5))
    seen = evaluate(weights, table)
    assert 0.5 < seen.auc_interval.low < seen.metrics.auc < seen.auc_interval.high <= 1
    assert seen.accuracy_interval.low < seen.metrics.accuracy < seen.accuracy_interval.high


def test_more_rows_make_the_intervals_narrower(table):
    weights = baselines.central(data.deal(table, 6, 200, 5))
    quarter = slice(0, len(table.holdout_labels) // 4)
    smaller = data.Table(
        table.origin,
        table.train,
        table.train_labels,
        table.holdout[quarter],
        table.holdout_labels[quarter],
    )
    few, many = (evaluate(weights, one).auc_interval for one in (smaller, table))
    assert many.high - many.low < few.high - few.low
