"""A study trains a base for each seed, keeps it, and runs every composition at every ε."""

import numpy as np
import pytest

from agent.errors import UserActionError
from server_stub.simulation import data, study
from server_stub.simulation.attacks import Attack
from server_stub.simulation.compositions import Composition


def test_every_seed_composition_and_budget_is_run(small_study):
    assert [(run.seed, run.composition, run.epsilon) for run in small_study.runs] == [
        (seed, composition, budget)
        for seed in (1, 2)
        for composition in (Composition.IID, Composition.DISJOINT)
        for budget in (None, 4.0)
    ]
    assert [base.seed for base in small_study.bases] == [1, 2]
    for run in small_study.runs:
        assert run.survivors == 40
        if run.epsilon is None:
            assert run.epsilon_ledger is None
        else:
            assert 3.9 < run.epsilon_ledger <= 4


def test_the_fleet_brings_false_alarms_down_on_software_that_only_it_knows(small_study):
    clear = [run for run in small_study.runs if run.epsilon is None]
    for base in small_study.bases:
        own = [run.judgement for run in clear if run.seed == base.seed]
        assert max(one.fpr_of["own"] for one in own) <= base.control.fpr_of["own"]


def test_a_kept_base_is_found_again(plan, tmp_path):
    told = []
    first = study.run(plan(bases=tmp_path), told.append)
    assert any("fold" in line for line in told)
    told.clear()
    again = study.run(plan(bases=tmp_path), told.append)
    assert not any("fold" in line for line in told)
    assert again.bases[0].digest == first.bases[0].digest


def test_another_table_may_judge(plan, table):
    chosen = plan(options={"holdout": table}, epsilons=(None,))
    result = study.run(chosen)
    assert set(result.runs[0].judgement.fpr_of) == {"all"}
    assert result.holdout_rows == 1500


def test_attackers_and_labelled_devices_can_be_simulated(plan):
    chosen = plan(
        options={"attack": Attack.LABEL_FLIP, "attackers": 0.2},
        is_labelled=True,
        compositions=(Composition.DIRICHLET,),
    )
    assert len(study.run(chosen).runs) == 1


def test_devices_have_benign_rows_that_the_operator_lacks(plan, sourced, table):
    for path in (sourced, table):
        rows = data.sourced(path, 1)
        public = data.public_rows(rows)
        pool = study.device_pool(rows, public, plan())
        assert not public[pool.rows].any()
        assert not rows.held_out[pool.rows].any()
        assert not pool.labels.any()
        assert set(rows.labels[public]) == {0, 1}


def test_p11_a_table_whose_sources_have_one_class_each_has_no_base(tmp_path, plan):
    path = tmp_path / "rows.npz"
    rows = np.random.default_rng(1).integers(0, 9, (80, 29))
    labels = np.arange(80) % 2
    np.savez(path, X=rows, y=labels, split=np.arange(80) // 40, source=labels)
    with pytest.raises(UserActionError) as raised:
        study.run(plan(options={"data": path}))
    assert raised.value.code == "BAD_TABLE"
