"""What a demonstration learns is neither trivial nor hopeless, with either family."""

import numpy as np
import pytest

from agent.detector.synthetic import generate
from server_stub.demo import baselines
from server_stub.demo.evaluation import evaluate
from server_stub.demo.plan import LOGISTIC, ROWS_EACH, DemoPlan
from server_stub.demo.subject import make_subject, make_table
from server_stub.simulation import data


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_rows_are_neither_trivial_nor_hopeless_for_central_training(seed):
    plan = DemoPlan(seed=seed, family=LOGISTIC)
    table = make_table(plan)
    shares = data.deal(table, plan.devices, ROWS_EACH, seed)
    assert 0.95 <= evaluate(baselines.central(shares), table).metrics.auc <= 0.98


def test_a_logistic_model_begins_untrained(tmp_path):
    subject = make_subject(DemoPlan(devices=4, rounds=1, family=LOGISTIC), tmp_path)
    assert len(subject.shares) == 4
    assert subject.judge(subject.model.read_bytes()).metrics.auc == 0.5


@pytest.mark.system
def test_a_head_begins_with_what_the_operators_rows_teach(tmp_path):
    rows = generate(np.random.default_rng(7), 900)
    benign = sorted(set(np.array(rows.families)[rows.labels == 0].tolist()))
    source = np.isin(rows.families, benign[1::2])
    np.savez(tmp_path / "rows.npz", X=rows.rows, y=rows.labels, source=source.astype(int))
    plan = DemoPlan(devices=4, rounds=2, data=tmp_path / "rows.npz")
    subject = make_subject(plan, tmp_path)
    before = subject.judge((subject.model / "head.safetensors").read_bytes())
    assert before.metrics.auc > 0.7
    assert before.alarms is not None
    assert all(not share.labels.any() and len(share.rows) == 10 for share in subject.shares)
    compared = subject.compare()
    assert compared.shuffled is None
    assert 0 <= compared.without_noise.alarms.share <= compared.control.alarms.share
