"""`aegis simulate` prints what its schema says, and refuses what it cannot simulate."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from agent.cli.main import main
from agent.errors import OperatorActionError, UserActionError
from agent.protocol.packing import packed_bytes
from server_stub.simulation.attacks import Attack
from server_stub.simulation.command import run
from server_stub.simulation.groups import PHASES
from server_stub.training.recipe import SMALL_FLEET, BaseRecipe, Recipe

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "schemas" / "simulate.schema.json").read_text()
)

STUDY_SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "schemas" / "simulate-study.schema.json").read_text()
)
TINY = Recipe(
    BaseRecipe(3, 0.3, 4, 1.0, has_network=False, laplacian=31, gaussian=0), SMALL_FLEET.head
)


def test_the_printed_document_has_the_form_of_the_schema(table, capsys):
    sizes = ["--devices", "24", "--rounds", "3", "--group", "12", "--epsilon", "4", "--drop", "0.1"]
    assert main(["simulate", "--data", str(table), *sizes, "--model", "logistic", "--json"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    jsonschema.validate(answer, SCHEMA)
    assert [line.split(":")[0] for line in printed.err.splitlines()] == [
        "round 1 of 3",
        "round 2 of 3",
        "round 3 of 3",
    ]
    assert answer["machines"]
    assert (
        answer["bytes_up_per_device_round"]
        > answer["vector_bytes"]
        == packed_bytes(128, answer["bits"])
    )
    assert answer["floor"] == "test floor: groups of 12, sums of 9"
    assert 3.9 < answer["epsilon_ledger"] <= 4
    assert answer["epsilon_central"] < answer["epsilon_ledger"] < answer["epsilon_local"]


def test_the_model_gets_better(options):
    report = run(options(devices=400, group=100, rounds=4, epsilon=4.0))
    assert report.device_limits == "product"
    assert report.after.auc > report.before.auc + 0.2


def test_without_json_the_report_is_a_table_for_people(table, capsys):
    assert (
        main(
            [
                "simulate",
                "--devices",
                "200",
                "--rounds",
                "1",
                "--data",
                str(table),
                "--no-machines",
                "--attack",
                "label-flip",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "Only the protocol's arithmetic was run" in printed
    assert "20 devices attack: label-flip" in printed
    assert "ε by a device's ledger: " in printed


@pytest.mark.parametrize("phase", PHASES)
def test_devices_that_drop_out_of_a_phase_are_missing_from_it_and_charged_for_what_they_sent(
    options, phase
):
    report = run(options(drop=0.2, drop_phase=phase))
    order = PHASES.index(phase)
    for line in report.rounds:
        counts = list(line.answered.values())
        assert all(count == 40 for count in counts[:order])
        assert all(count == counts[order] < 40 for count in counts[order:])
        assert line.survivors == (40 if phase in ("consistency", "unmask") else counts[order])
    assert report.epsilon_ledger <= 1.0


def test_an_attacker_without_clipping_leaves_the_range_or_harms_the_model(
    options,
):
    honest = run(options(epsilon=4.0)).after.auc
    lying = run(options(epsilon=4.0, attack=Attack.SCALE_OVER, attackers=0.2))
    assert lying.attackers == 8
    assert sum(line.rejected for line in lying.rounds) or lying.after.auc < honest


@pytest.mark.parametrize("attack", [Attack.SIGN_FLIP, Attack.SCALE_WITHIN, Attack.LABEL_FLIP])
def test_every_attack_can_be_simulated(options, attack):
    assert len(run(options(attack=attack, attackers=0.3)).rounds) == 2


def test_p11_options_that_cannot_be_simulated_are_refused_by_name(options, table, tmp_path, capsys):
    with pytest.raises(UserActionError) as raised:
        run(options(data=tmp_path / "missing.npz"))
    assert raised.value.code == "BAD_TABLE"
    with pytest.raises(UserActionError) as raised:
        run(options(devices=5000))
    assert raised.value.code == "TOO_FEW_ROWS"
    with pytest.raises(UserActionError) as raised:
        run(options(epsilon=8.0))
    assert raised.value.code == "PRICE_TOO_HIGH"
    with pytest.raises(OperatorActionError) as raised:
        run(options(drop=0.9))
    assert raised.value.code == "GROUP_PLAN"
    for words in (
        ["--devices", "x"],
        ["--devices", "2"],
        ["--drop", "1.5"],
        ["--attack", "none-such"],
        ["--epsilon", "nan"],
        ["--dev", "40"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["simulate", "--data", str(table), *words])
        assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_subset_of_coordinates_is_smaller_and_costs_the_same(options):
    whole, part = run(options()), run(options(coordinates=32))
    assert (whole.coordinates, part.coordinates) == (128, 32)
    assert part.vector_bytes * 4 <= whole.vector_bytes
    assert part.epsilon_ledger == pytest.approx(whole.epsilon_ledger, rel=1e-3)


def test_the_plain_path_says_that_it_is_not_private_and_names_no_epsilon(table, capsys):
    words = [
        "simulate",
        "--data",
        str(table),
        "--devices",
        "40",
        "--rounds",
        "4",
        "--model",
        "logistic",
        "--plain",
        "--top-k",
        "30",
    ]
    assert main([*words, "--drop", "0.2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    jsonschema.validate(answer, SCHEMA)
    assert not answer["private"]
    assert not answer["machines"]
    assert {answer[name] for name in answer if name.startswith("epsilon")} == {None}
    assert answer["after"]["auc"] > 0.75
    assert answer["vector_bytes"] < 400
    assert main(words) == 0
    assert "NOT PRIVATE" in capsys.readouterr().out
    for wrong in (["--top-k", "3"], ["--plain", "--machines"], ["--plain", "--coordinates", "3"]):
        with pytest.raises(SystemExit) as ended:
            main(["simulate", "--data", str(table), *wrong])
        assert ended.value.code == 2


def test_more_coordinates_than_the_model_has_are_refused(options):
    for wrong in ({"coordinates": 129}, {"plain": True, "top_k": 117}):
        with pytest.raises(UserActionError) as raised:
            run(options(**wrong))
        assert raised.value.code == "TOO_MANY_COORDINATES"


def test_the_model_may_be_evaluated_on_a_second_table(options, table, tmp_path):
    rows = np.load(table)
    benign = tmp_path / "benign.npz"
    np.savez(benign, X=rows["X"][rows["y"] == 0], y=np.zeros((rows["y"] == 0).sum()))
    report = run(options(holdout=benign))
    assert report.holdout == "benign.npz"
    assert report.to_json()["after"]["auc"] is None
    assert 0 <= report.to_json()["after"]["fpr"] <= 1


def test_a_study_prints_what_its_schema_says(sourced, capsys, monkeypatch):
    monkeypatch.setattr("server_stub.simulation.command.recipe_for", lambda _: TINY)
    words = ["simulate", "--model", "base+head", "--data", str(sourced), "--devices", "40"]
    words += ["--epsilon", "none,4", "--group", "20", "--composition", "iid,one-source"]
    assert main([*words, "--rounds", "2", "--json"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    jsonschema.validate(answer, STUDY_SCHEMA)
    assert [(one["composition"], one["epsilon"]) for one in answer["results"]] == [
        ("iid", None),
        ("iid", 4.0),
        ("one-source", None),
        ("one-source", 4.0),
    ]
    assert answer["rounds"] == 2
    assert "control without devices" in printed.err


@pytest.mark.parametrize(
    "words",
    [
        ["--seeds", "2"],
        ["--epsilon", "1,4"],
        ["--epsilon", "none"],
        ["--labelled"],
        ["--model", "base+head", "--plain"],
        ["--model", "base+head", "--composition", "real,odd"],
        ["--model", "base+head", "--epsilon", "4,-1"],
    ],
)
def test_p11_options_that_do_not_go_together_are_refused(table, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--data", str(table), *words])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
