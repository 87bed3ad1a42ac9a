"""`aegis simulate`: the arithmetic is the machines', the wall stands, liars are counted, and what
is printed is what the schema says.
"""

import json
import os
from dataclasses import replace
from itertools import product
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from agent.cli.main import main
from agent.detector.synthetic import generate
from agent.errors import OperatorActionError, UserActionError
from agent.privacy.codec import clip, decode_sum, encode_update, noise_sd
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import rho_for_epsilon, rho_units, sent_words
from agent.protocol.packing import packed_bytes
from server_stub.simulation.attacks import Attack
from server_stub.simulation.command import Authority, opened_by_machines, run
from server_stub.simulation.data import Share
from server_stub.simulation.groups import PHASES, opened_directly
from server_stub.simulation.training import RECIPES, Fleet, Inputs, Recipe, judge
from server_stub.simulation.world import DELTA, Options, World, planned
from tests.fakes.secagg import plan

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "schemas" / "simulate.schema.json").read_text()
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulate") / "rows.npz"
    made = generate(np.random.default_rng(4), 1500)
    np.savez(path, X=made.rows, y=made.labels, group=made.groups)
    return path


def options(data, **changes):
    return replace(
        Options(
            devices=40,
            rounds=2,
            data=data,
            holdout=None,
            epsilon=1.0,
            group=20,
            drop=0.0,
            drop_phase="any",
            attack=Attack.NONE,
            attackers=0.1,
            family="logistic",
            machines=False,
            coordinates=None,
            plain=False,
            top_k=None,
            seed=1,
        ),
        **changes,
    )


LIMITS = DeviceLimits(min_group=2, min_sum=2, gamma_milli=0, max_rho_units=2**60)


@pytest.mark.parametrize("bits", [16, 20, 24, 32])
def test_p6_the_arithmetic_alone_comes_to_what_the_machines_come_to(bits):
    """Three devices, each silent from any phase or from none: all 125 ways, shared out over the
    word sizes.
    """
    config, authority, draw = plan(3, d=9, bits=bits), Authority(), np.random.default_rng(bits)
    ways = list(product(["", *PHASES], repeat=3))
    for silent in ways[[16, 20, 24, 32].index(bits) :: 4]:
        words = [draw.integers(0, 1 << bits, sent_words(config), dtype=np.uint32) for _ in range(3)]
        same(
            opened_by_machines(authority, LIMITS, config, words, silent),
            opened_directly(config, words, silent),
        )


@pytest.mark.parametrize("seed", range(6))
def test_p6_so_do_larger_groups_with_colluding_devices_in_the_plan(seed):
    draw = np.random.default_rng(seed)
    size = int(draw.integers(6, 13))
    config = plan(size, min_sum=max(4, size // 2), gamma_milli=200)
    silent = draw.choice(["", "", "", "", *PHASES], size).tolist()
    words = [
        draw.integers(0, 1 << config.bits, sent_words(config), dtype=np.uint32) for _ in range(size)
    ]
    same(
        opened_by_machines(Authority(), LIMITS, config, words, silent),
        opened_directly(config, words, silent),
    )


@pytest.mark.parametrize("survivors", [6, 10])
def test_p7_the_noise_of_a_sum_that_the_machines_opened_is_the_planned_one(survivors):
    """At the minimum and at full survival, through codec, masks, shares and unmasking to the mean:
    within four standard errors.
    """
    config, draw = plan(10, d=2000, min_sum=6), np.random.default_rng(survivors)
    vectors = [clip(draw.normal(size=2000), 1.0) for _ in range(10)]
    words = [encode_update(vector, config, os.urandom(32)) for vector in vectors]
    outcome = opened_by_machines(
        Authority(), LIMITS, config, words, ["masked"] * (10 - survivors) + [""] * survivors
    )
    assert len(outcome.survivors) == survivors
    error = decode_sum(outcome.words, config, survivors) - np.mean(
        [vectors[place] for place in outcome.survivors], axis=0
    )
    planned_variance = noise_sd(config, survivors) ** 2 * (1 + 0.25 / config.noise_var)
    assert abs(np.mean(error**2) / planned_variance - 1) < 4 * (2 / 2000) ** 0.5


def same(machines, direct):
    assert machines.charged == direct.charged
    assert machines.survivors == direct.survivors
    assert machines.answered == direct.answered
    assert (machines.words is None) == (direct.words is None)
    if direct.words is not None:
        assert machines.words.tolist() == direct.words.tolist()
        assert machines.bytes_up > 0
        assert machines.bytes_down > 0


def test_it_prints_what_the_schema_says(data, capsys):
    sizes = ["--devices", "24", "--rounds", "3", "--group", "12", "--epsilon", "4", "--drop", "0.1"]
    assert main(["simulate", "--data", str(data), *sizes, "--model", "logistic", "--json"]) == 0
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


def test_the_model_gets_better(data):
    report = run(options(data, devices=400, group=100, rounds=4, epsilon=4.0))
    assert report.floor == "product"
    assert report.after.auc > report.before.auc + 0.2


def test_without_json_it_is_a_table_for_people(data, capsys):
    assert (
        main(
            [
                "simulate",
                "--devices",
                "200",
                "--rounds",
                "1",
                "--data",
                str(data),
                "--no-machines",
                "--attack",
                "label-flip",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "The protocol's arithmetic alone" in printed
    assert "20 devices attack: label-flip" in printed
    assert "ε by a device's ledger: " in printed


@pytest.mark.parametrize("phase", PHASES)
def test_drop_out_in_one_phase_shows_there_and_costs_what_left_the_device(data, phase):
    report = run(options(data, drop=0.2, drop_phase=phase))
    order = PHASES.index(phase)
    for line in report.rounds:
        counts = list(line.answered.values())
        assert all(count == 40 for count in counts[:order])
        assert all(count == counts[order] < 40 for count in counts[order:])
        assert line.survivors == (40 if phase in ("consistency", "unmask") else counts[order])
    assert report.epsilon_ledger <= 1.0


def test_p5_a_round_that_the_budget_does_not_hold_finds_no_device(data):
    once = options(data, rounds=1)
    config, _, _ = planned(once, RECIPES["logistic"])
    table = np.load(data)
    shares = tuple(
        Share(table["X"][at : at + 4], table["y"][at : at + 4]) for at in range(0, 160, 4)
    )
    world = World(
        once,
        Fleet(shares, RECIPES["logistic"], np.zeros(40, bool)),
        np.zeros(40, bool),
        config,
        np.random.default_rng(1),
        opened_directly,
    )
    assert world.hold(1, lambda: None).refused == 0
    line = world.hold(2, lambda: None)
    assert (line.refused, line.groups, line.survivors) == (40, 0, 0)
    assert {sum(units for _, units in paid) for paid in world.charges} == {rho_units(config)}
    assert rho_units(config) <= rho_for_epsilon(1.0, DELTA)


def test_a_program_that_skips_the_clipping_is_noticed_where_it_leaves_the_range_and_harms_where_not(
    data,
):
    honest = run(options(data, epsilon=4.0)).after.auc
    lying = run(options(data, epsilon=4.0, attack=Attack.SCALE_OVER, attackers=0.2))
    assert lying.attackers == 8
    assert sum(line.rejected for line in lying.rounds) or lying.after.auc < honest


@pytest.mark.parametrize("attack", [Attack.SIGN_FLIP, Attack.SCALE_WITHIN, Attack.LABEL_FLIP])
def test_every_attack_is_played(data, attack):
    assert len(run(options(data, attack=attack, attackers=0.3)).rounds) == 2


def test_features_that_are_not_held_are_the_same(data, monkeypatch):
    rows, recipe = np.load(data)["X"][:300], Recipe("fourier", 33, 1, 1.0, 1.0)
    held = Inputs(rows, recipe)
    monkeypatch.setattr("server_stub.simulation.training.HELD_FLOATS", 0)
    made = Inputs(rows, recipe)
    assert made.of(slice(10, 20)) == pytest.approx(held.of(slice(10, 20)), abs=1e-5)
    labels = np.arange(300) % 2
    assert judge(np.ones(33), made, labels).auc == pytest.approx(
        judge(np.ones(33), held, labels).auc, abs=1e-6
    )


def test_p11_what_cannot_be_simulated_is_said(data, tmp_path, capsys):
    with pytest.raises(UserActionError) as raised:
        run(options(tmp_path / "missing.npz"))
    assert raised.value.code == "BAD_TABLE"
    with pytest.raises(UserActionError) as raised:
        run(options(data, devices=5000))
    assert raised.value.code == "TOO_FEW_ROWS"
    with pytest.raises(UserActionError) as raised:
        run(options(data, epsilon=8.0))
    assert raised.value.code == "PRICE_TOO_HIGH"
    with pytest.raises(OperatorActionError) as raised:
        run(options(data, drop=0.9))
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
            main(["simulate", "--data", str(data), *words])
        assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_subset_of_coordinates_is_smaller_and_costs_the_same(data):
    whole, part = run(options(data)), run(options(data, coordinates=32))
    assert (whole.coordinates, part.coordinates) == (128, 32)
    assert part.vector_bytes * 4 <= whole.vector_bytes
    assert part.epsilon_ledger == pytest.approx(whole.epsilon_ledger, rel=1e-3)


def test_the_plain_path_says_that_it_is_not_private_and_names_no_epsilon(data, capsys):
    words = [
        "simulate",
        "--data",
        str(data),
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
            main(["simulate", "--data", str(data), *wrong])
        assert ended.value.code == 2


def test_more_coordinates_than_there_are(data):
    for wrong in ({"coordinates": 129}, {"plain": True, "top_k": 117}):
        with pytest.raises(UserActionError) as raised:
            run(options(data, **wrong))
        assert raised.value.code == "TOO_MANY_COORDINATES"


def test_a_second_table_is_judged_on(data, tmp_path):
    table = np.load(data)
    benign = tmp_path / "benign.npz"
    np.savez(benign, X=table["X"][table["y"] == 0], y=np.zeros((table["y"] == 0).sum()))
    report = run(options(data, holdout=benign))
    assert report.holdout == "benign.npz"
    assert report.to_json()["after"]["auc"] is None
    assert 0 <= report.to_json()["after"]["fpr"] <= 1
