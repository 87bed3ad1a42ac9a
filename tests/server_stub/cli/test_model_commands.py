"""An operator's way: train a detector, make a server of it, add rows, calibrate, evaluate."""

import json

import numpy as np
import pytest

from agent.detector.families.base_head import BaseHead
from agent.detector.synthetic import generate
from server_stub.cli.main import main
from server_stub.config.home import ServerHome
from server_stub.storage.store import Store

pytestmark = pytest.mark.system  # a detector takes seconds to train
INIT = ("init", "--operator-name", "Example", "--contact", "a@example.org")


def answer(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *words):
    assert main(list(map(str, words))) == 1
    return capsys.readouterr().err


def table(path, seed, count=400, **more):
    rows = generate(np.random.default_rng(seed), count)
    np.savez(path, X=rows.rows, y=rows.labels, **more)
    return path


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    data = table(folder / "rows.npz", 5, split=np.arange(400) % 4 == 0)
    words = ["model", "train", "--data", data, "--devices", 100]
    assert main(list(map(str, [*words, "--out", folder / "detector", "--json"]))) == 0
    return folder / "detector"


@pytest.fixture
def home(detector, tmp_path, capsys):
    words = [*INIT, "--home", tmp_path / "server", "--detector", detector]
    assert main(list(map(str, words))) == 0
    capsys.readouterr()
    return tmp_path / "server"


def test_a_detector_is_four_files_with_a_report(detector):
    names = {path.name for path in detector.iterdir()}
    assert names == {"base.safetensors", "head.safetensors", "rows.npz", "report.json"}
    report = json.loads((detector / "report.json").read_text())
    assert (report["family"], report["d"], report["rows"]) == ("base+head/1", 1024, 300)
    assert report["hold_out"]["auc"] > 0.9


def test_a_server_of_a_detector_trains_on_benign_rows(home):
    task = ServerHome(home).settings().task
    assert (task.model, task.d, task.rows, task.clip_milli) == ("base+head/1", 1024, "benign", 20)
    assert (task.rounds, task.mean_weight_milli, task.base_weight_milli) == (10, 4000, 600)
    plan = ServerHome(home).settings().rounds
    assert (plan.server_rate_milli, plan.server_shrink_milli) == (60_000, 950)


def test_without_rows_of_the_operator_a_benign_only_task_is_refused(detector, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("base.safetensors", "head.safetensors", "report.json"):
        (bare / name).write_bytes((detector / name).read_bytes())
    words = [*INIT, "--home", tmp_path / "server", "--detector", bare]
    assert refusal(capsys, *words).startswith("NO_ROWS: Without rows of the operator, training on")
    assert not (tmp_path / "server").exists()
    labelled = answer(capsys, *words, "--train-on", "all")
    assert labelled["model"] == "base+head/1"


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--train-on", "benign"], "BAD_SETTING"), (["--detector", "/nowhere"], "BAD_DETECTOR")],
)
def test_p11_what_does_not_fit_together_makes_no_server(tmp_path, capsys, words, code):
    assert refusal(capsys, *INIT, "--home", tmp_path / "server", *words).startswith(code)
    assert not (tmp_path / "server").exists()


def test_rows_are_added_once(home, tmp_path, capsys):
    before = answer(capsys, "rows", "show", "--home", home)
    words = ["rows", "add", table(tmp_path / "more.npz", 6), "--home", home]
    first, second = answer(capsys, *words), answer(capsys, *words)
    assert first["rows"] == before["rows"] + first["added"] == second["rows"]
    assert (first["added"] + first["known"], second["added"]) == (400, 0)


def test_a_calibration_publishes_thresholds_that_hold_on_its_rows(home, tmp_path, capsys):
    source = {"source": np.zeros(600, int), "source_names": np.array(["S"])}
    mixed = table(tmp_path / "mixed.npz", 7, 600, **source)
    found = answer(
        capsys,
        "model",
        "calibrate",
        "--home",
        home,
        "--data",
        mixed,
        "--fpr",
        "0.02",
        "--unsure-fpr",
        "0.1",
    )
    assert found["version"] == 2
    assert found["fpr"] <= 0.02
    assert found["fpr_interval"][0] <= found["fpr"] <= found["fpr_interval"][1]
    assert set(found["fpr_by_source"]) == {"S"}
    store = Store(ServerHome(home).database_url)
    bounds = BaseHead().read_head(store.models.newest().content, 1024).bounds
    store.close()
    assert (bounds.malicious_from, bounds.false_positive_rate) == (found["malicious_from"], 0.02)
    score = answer(capsys, "model", "evaluate", "--home", home, "--data", mixed)
    assert score["stated_fpr"] == 0.02
    assert score["sources"]["S"]["fpr_at_threshold"] == pytest.approx(found["fpr"], abs=1e-6)


def test_p11_too_few_rows_are_not_calibrated_on(home, tmp_path, capsys):
    rows = generate(np.random.default_rng(5), 40)
    np.savez(tmp_path / "few.npz", X=rows.rows, y=rows.labels)
    words = ["model", "calibrate", "--home", home, "--data", tmp_path / "few.npz"]
    assert refusal(capsys, *words).startswith("TOO_FEW_ROWS")


def test_a_source_without_benign_rows_is_warned_of_by_name(home, tmp_path, capsys):
    rows = generate(np.random.default_rng(7), 600)
    source = np.where(rows.labels == 1, 1, 0)
    np.savez(
        tmp_path / "s.npz",
        X=rows.rows,
        y=rows.labels,
        source=source,
        source_names=np.array(["seen", "unseen"]),
    )
    found = answer(capsys, "model", "calibrate", "--home", home, "--data", tmp_path / "s.npz")
    assert any("No benign rows of unseen" in text for text in found["warnings"])
