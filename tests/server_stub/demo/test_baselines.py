"""The comparisons learn where there is something to learn, and only there."""

from dataclasses import astuple

import numpy as np
import pytest

from agent.detector.model import Metrics
from agent.detector.synthetic import generate
from server_stub.demo import baselines
from server_stub.demo.baselines import Training
from server_stub.demo.evaluation import evaluate
from server_stub.demo.plan import LOGISTIC, DemoPlan
from server_stub.simulation import data


def test_shuffled_labels_teach_nothing_and_true_ones_do():
    rows = generate(np.random.default_rng(5), 1500, group_rows=3)
    table = data.from_arrays(
        "generated", rows.rows, rows.labels, data.held_out_groups(rows.groups, 5)
    )
    shares = data.deal(table, 6, 200, 5)
    plan, start = DemoPlan(devices=6, family=LOGISTIC), np.zeros(116)

    def seen(devices):
        return evaluate(baselines.federated(devices, start, plan.training), table).metrics

    shuffled = baselines.mean_of([seen(baselines.shuffled(shares, seed)) for seed in range(6)])
    assert seen(shares).auc > 0.8
    assert 0.25 < shuffled.auc < 0.75
    assert evaluate(baselines.central(shares), table).metrics.auc > 0.9


def test_an_update_is_never_longer_than_the_clipping_norm():
    rows = generate(np.random.default_rng(6), 400, group_rows=3)
    table = data.from_arrays(
        "generated", rows.rows, rows.labels, data.held_out_groups(rows.groups, 6)
    )
    shares = data.deal(table, 4, 60, 6)
    moved = baselines.federated(shares, np.zeros(116), Training(20, 5.0, 0.25, (1.0, 1.0, 0.5)))
    assert 0 < np.linalg.norm(moved) <= 0.25 * 2.5 + 1e-12


def test_the_mean_of_metrics_is_taken_field_by_field():
    mean = baselines.mean_of([Metrics(0.0, 0.2, 0.4, 0.6, 0.8), Metrics(1.0, 0.4, 0.6, 0.8, 1.0)])
    assert astuple(mean) == pytest.approx((0.5, 0.3, 0.5, 0.7, 0.9))
