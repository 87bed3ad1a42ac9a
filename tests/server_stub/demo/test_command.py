"""What the demonstration is asked, decides, shows and writes; that it runs is shown by
tests/e2e/test_demo.py.
"""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from agent.detector.model import Metrics
from agent.detector.synthetic import generate
from agent.errors import UserActionError
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import rho_for_epsilon
from server_stub.demo import baselines
from server_stub.demo.command import command, make_table
from server_stub.demo.full_agent import programs_here
from server_stub.demo.plan import MOST_RHO_UNITS, PHASES, ROWS_EACH, DemoPlan
from server_stub.demo.progress import DemoScreen
from server_stub.demo.report import GroupLine, Report, RoundLine, draw, protection, render
from server_stub.demo.rounds import AFTER_ROUND_S
from server_stub.demo.scratch import PREFIX, scratch_folder, socket_folder, sweep
from server_stub.simulation import data

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/demo.schema.json").read_text())
SEEN = Metrics(0.9, 0.95, 0.1, 0.8, 0.4)
LINE = RoundLine(
    1,
    0.9,
    0.95,
    0.1,
    8.0,
    20,
    1.5,
    3.2,
    {"masked": 2},
    (GroupLine(3, 3, 3, 3, 3, "done", 3, 0, 1.2),),
)
REPORT = Report(
    consent="Consent: simulated.",
    data="rows",
    devices=20,
    full_agent="One of them.",
    mode="local",
    epsilon=8.0,
    delta=1e-5,
    before=SEEN,
    after=SEEN,
    without_noise=SEEN,
    shuffled=SEEN,
    central=SEEN,
    majority=0.52,
    rounds=(LINE, replace(LINE, number=2)),
    bytes_up=500.0,
    bytes_down=4000.0,
    epsilon_local=8.0,
    dropped=4,
    notes=("one note",),
    files={"chart": "demo.png"},
)


def text_of(report):
    console = Console(file=io.StringIO(), width=140, highlight=False)
    console.print(render(report))
    return console.file.getvalue()


def test_the_report_fits_its_schema_and_holds_every_fixed_name():
    document = json.loads(json.dumps(REPORT.to_json()))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert {
        "rounds",
        "accuracy_before",
        "accuracy_after",
        "accuracy_without_noise",
        "accuracy_shuffled",
        "accuracy_central",
    } <= set(document)
    assert {
        "fpr_before",
        "fpr_after",
        "epsilon_spent",
        "bytes_up_per_device_round",
        "bytes_down_per_device_round",
    } <= set(document)
    assert (document["rounds"], document["seconds_per_round"], document["epsilon_spent"]) == (
        2,
        1.5,
        8.0,
    )


def test_the_first_line_says_whose_consent_it_was_and_the_text_how_weak_the_protection_is():
    text = text_of(REPORT)
    assert text.splitlines()[0] == "Consent: simulated."
    assert "weak protection: local mode, ε = 8" in text
    assert "one note" in text
    assert "protection of the sums failed" not in text
    assert "If the protection of the sums failed, it would be ε = 31." in text_of(
        replace(REPORT, mode="secagg", epsilon_local=31.0)
    )
    assert "4 times a device vanished" in text


@pytest.mark.parametrize(
    ("epsilon", "word"),
    [(0.99999, "strong"), (3.0, "moderate"), (7.99992, "weak")],
    ids=["1", "3", "8"],
)
def test_what_an_epsilon_means_in_words(epsilon, word):
    assert protection("local", epsilon) == f"{word} protection: local mode, ε = {round(epsilon)}"


def test_the_chart_is_a_picture(tmp_path):
    draw(REPORT, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "change",
    [
        {"devices": 1},
        {"devices": 501},
        {"rounds": 0},
        {"rounds": 49},
        {"epsilon": 0.0},
        {"epsilon": 11.0},
        {"epsilon": float("nan")},
        {"drop": 1.0},
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_options_out_of_range_are_refused_before_anything_starts(change):
    with pytest.raises(UserActionError) as caught:
        DemoPlan(**change).check()
    assert caught.value.code == "BAD_OPTION"


def test_a_table_that_is_none_is_refused_before_anything_starts(tmp_path, capsys):
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(UserActionError) as caught:
        command(["--data", str(tmp_path / "x.npz"), "--chart", str(tmp_path / "demo.png")])
    assert caught.value.code == "BAD_TABLE"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert capsys.readouterr().out == ""


def test_no_round_costs_more_than_a_device_gives():
    assert DeviceLimits().max_rho_units == MOST_RHO_UNITS
    for plan in (
        DemoPlan(rounds=1, epsilon=10.0),
        DemoPlan(rounds=3, epsilon=8.0),
        DemoPlan(rounds=8, epsilon=8.0),
    ):
        assert plan.rounds <= plan.planned_rounds
        assert rho_for_epsilon(plan.epsilon, plan.delta) // plan.planned_rounds <= MOST_RHO_UNITS


def test_the_same_seed_takes_the_same_devices_away_and_every_round_others():
    plan = DemoPlan(devices=21, drop=0.2)
    first, second = plan.vanishing(1, 20), plan.vanishing(2, 20)
    assert first == plan.vanishing(1, 20)
    assert len(first) == len(second) == 4
    assert first != second
    options = plan.server_options(Path("m"), 20, 1)
    assert options[options.index("--rounds-target") + 1] == "17"
    assert DemoPlan(devices=2, drop=0.9).vanishing(1, 1) == {}
    assert set(first.values()) == {"shares", "masked", "consistency", "unmask"}
    assert set(DemoPlan(devices=21, drop=0.2, mode="local").vanishing(1, 20).values()) == {"masked"}


def test_small_groups_are_a_test_floor_that_both_sides_share_and_large_ones_are_the_products():
    small, large = DemoPlan(devices=20), DemoPlan(devices=100)
    assert (small.floor, small.floor_words) == (
        DeviceLimits(16, 10, 0),
        "test floor: groups of 16, sums of 10",
    )
    options = small.server_options(Path("m"), 19, 1)
    assert options[options.index("--group-floor") + 1] == "16"
    assert (large.floor, large.floor_words) == (
        None,
        "the product's own floor: groups of 32, sums of 20",
    )
    assert "--group-floor" not in large.server_options(Path("m"), 99, 1)
    assert DemoPlan(mode="local").floor is None


def test_shuffled_labels_teach_nothing_and_true_ones_do():
    made = generate(np.random.default_rng(5), 1500, group_rows=3)
    table = data.from_arrays(
        "generated", made.rows, made.labels, data.held_out_groups(made.groups, 5)
    )
    shares = data.deal(table, 6, 200, 5)
    plan, start = DemoPlan(devices=6), np.zeros(116)

    def seen(held):
        return baselines.evaluate(baselines.federated(held, start, plan.training), table)

    shuffled = baselines.mean_of([seen(baselines.shuffled(shares, seed)) for seed in range(6)])
    assert seen(shares).auc > 0.8
    assert 0.25 < shuffled.auc < 0.75
    assert baselines.evaluate(baselines.central(shares), table).auc > 0.9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_rows_are_neither_trivial_nor_hopeless_for_central_training(seed):
    plan = DemoPlan(seed=seed)
    table = make_table(plan)
    shares = data.deal(table, plan.devices, ROWS_EACH, seed)
    assert 0.95 <= baselines.evaluate(baselines.central(shares), table).auc <= 0.98


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("", False), ("sure\n", False)],
)
def test_only_a_plain_yes_is_a_yes(monkeypatch, typed, answer):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    with DemoScreen(console) as screen:
        assert screen.ask("The notice [of] it", "Shall it?") is answer
    assert "The notice [of] it" in console.file.getvalue()
    assert "Shall it? [y/N]" in console.file.getvalue()


def test_a_scratch_folder_goes_and_the_next_one_sweeps_what_a_killed_one_left(tmp_path):
    (left := tmp_path / f"{PREFIX}999999999-abc").mkdir()
    (other := tmp_path / f"{PREFIX}{os.getpid()}-abc").mkdir()
    (alien := tmp_path / f"{PREFIX}notes").mkdir()
    with scratch_folder(tmp_path) as folder:
        (folder / "x").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not left.exists()
    assert not folder.exists()
    assert other.exists()
    assert alien.exists()
    sweep(tmp_path / "no such folder")


def test_sockets_get_a_short_folder_where_the_scratch_folder_has_a_long_name(tmp_path):
    (short := tmp_path / "s").mkdir()
    with socket_folder(Path("/x"), short) as folder:
        assert folder == Path("/x/run")
    with socket_folder(Path("/x" * 60), short) as folder:
        assert folder.is_relative_to(short)
        assert folder.parent.exists()
    assert list(short.iterdir()) == []


def test_the_environment_holds_real_programs():
    assert any(path.name == "cli-64.exe" for path in programs_here())


@pytest.mark.parametrize("devices", [3, 4, 20, 39, 40, 500])
@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_the_longest_round_of_groups_ends_before_it_is_given_up(devices, drop):
    plan = DemoPlan(devices=devices, drop=drop)
    options = plan.server_options(Path("model"), devices - 1, 1)
    join_s, phase_s = (
        int(options[options.index(f"--{name}") + 1]) for name in ("join-seconds", "phase-seconds")
    )
    assert join_s + len(PHASES) * phase_s < plan.round_seconds + AFTER_ROUND_S


def test_a_phase_is_longer_where_no_device_is_to_vanish():
    def phase_s(drop):
        options = DemoPlan(devices=20, drop=drop).server_options(Path("model"), 19, 1)
        return int(options[options.index("--phase-seconds") + 1])

    assert phase_s(0.0) >= 2 * phase_s(0.2)
