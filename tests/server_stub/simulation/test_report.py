"""A simulation's report names every figure once, and none that has no meaning."""

import json
import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from agent.detector.model import Metrics
from server_stub.simulation.groups import PHASES
from server_stub.simulation.report import SPENDING, Report, Round, quality, text

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "schemas" / "simulate.schema.json").read_text()
)
START = Metrics(0.5, 0.5, 1.0, 1.0, 0.01)
BETTER = Metrics(0.9, 0.95, 0.1, 0.9, 0.4)
ANSWERED = dict.fromkeys(PHASES, 38)
REPORT = Report(
    origin="rows.npz",
    rows=30,
    holdout="300 rows that no device had",
    family="logistic",
    devices=40,
    group=20,
    min_sum=18,
    colluders=4,
    device_limits="product",
    spending=SPENDING,
    machines=False,
    private=True,
    drop=0.1,
    drop_phase="any",
    attack="none",
    attackers=0,
    budget=1.0,
    delta=1e-5,
    epsilon_ledger=0.98765,
    epsilon_central=0.7,
    epsilon_local=4.25,
    noise_units=123.456,
    bits=20,
    coordinates=128,
    vector_bytes=320,
    bytes_up=None,
    bytes_down=None,
    before=START,
    majority=0.6,
    rounds=(
        Round(1, 2, 2, 0, 38, ANSWERED, 0, START),
        Round(2, 2, 1, 1, 19, ANSWERED, 3, BETTER),
    ),
    seconds=1.26,
)


def changed(**fields):
    return replace(REPORT, **fields)


@pytest.mark.parametrize(
    "report",
    [
        REPORT,
        changed(machines=True, bytes_up=4000.04, bytes_down=9000.0),
        changed(private=False),
        changed(attack="label-flip", attackers=4),
        changed(before=Metrics(0.5, math.nan, 1.0, math.nan, math.nan)),
    ],
    ids=["arithmetic", "machines", "plain", "attack", "one class"],
)
def test_every_report_has_the_form_of_the_schema(report):
    document = report.to_json()
    jsonschema.validate(document, SCHEMA)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_document_has_the_figures_of_the_last_round_and_epsilon_exactly():
    document = REPORT.to_json()
    assert document["after"].items() <= document["rounds"][1].items()
    assert (document["after"]["auc"], document["before"]["auc"]) == (0.95, 0.5)
    assert (document["epsilon_ledger"], document["noise_units"]) == (0.98765, 123.5)
    assert (document["floor"], document["seconds"]) == ("product", 1.3)


def test_figures_that_need_both_classes_are_null_where_one_is_missing():
    figures = quality(Metrics(0.9, math.nan, math.nan, 0.9, math.inf))
    assert figures == {
        "accuracy": 0.9,
        "auc": None,
        "fpr": None,
        "tpr": 0.9,
        "tpr_at_fpr_1": None,
    }


def test_the_unprotected_path_has_no_figure_of_a_protection():
    document = changed(private=False).to_json()
    for name in ("group", "min_sum", "colluders", "floor", "epsilon", "delta", "noise_units"):
        assert document[name] is None, name
    printed = text(changed(private=False))
    assert "NOT PRIVATE" in printed
    assert "ε" not in printed


def test_the_text_has_a_line_for_each_round_and_the_price():
    lines = text(REPORT).splitlines()
    rounds = [line for line in lines if line.lstrip().startswith(("1 ", "2 "))]
    assert [line.split()[1:4] for line in rounds] == [
        ["2/2", "38", "0.5000"],
        ["1/2", "19", "0.9000"],
    ]
    printed = "\n".join(lines)
    assert "0.988 of 1" in printed
    assert "Each device sends 320 bytes of words a round." in printed
    assert "without the noise of 4 devices a group: 0.7." in printed
    assert "attack" not in printed


def test_the_text_says_whether_messages_were_exchanged_and_how_large_they_were():
    assert "Only the protocol's arithmetic" in text(REPORT)
    real = text(changed(machines=True, bytes_up=4000.04, bytes_down=9000.0))
    assert "Real messages, masks and shares" in real
    assert "4,000 bytes up and 9,000 down" in real


def test_the_text_names_attackers_and_models_that_agents_do_not_train():
    assert "4 devices attack: label-flip." in text(changed(attack="label-flip", attackers=4))
    assert "of 4 devices a group and of the attackers: 0.7." in " ".join(
        text(changed(attack="label-flip", attackers=4)).split()
    )
    assert "Agents of this version" not in text(REPORT)
    assert "'fourier' shows what" in text(changed(family="fourier"))
