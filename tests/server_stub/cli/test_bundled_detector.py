"""The packaged detector tells generated programs apart, and is a demonstration everywhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from agent.detector.model import metrics
from agent.detector.scoring import read_model
from agent.detector.synthetic import generate
from agent.protocol.jobs import ModelFiles
from server_stub.cli import bundled_detector
from server_stub.cli.main import main
from server_stub.cli.model_training import DetectorFolder
from server_stub.publishing import demonstration
from server_stub.publishing.public_rows import read_public_rows

PACKAGED = DetectorFolder(Path(demonstration.__file__).parent)


def score(folder, rows):
    files = ModelFiles(folder.head, folder.base, "base+head/1", 500)
    return metrics(rows.labels, read_model(files).probability(rows.rows))


def test_it_tells_programs_apart_that_it_has_not_seen():
    assert score(PACKAGED, generate(np.random.default_rng(1), 600)).auc > 0.95
    assert set(read_public_rows(PACKAGED.rows_file).labels.tolist()) == {0, 1}
    assert sum(path.stat().st_size for path in PACKAGED.folder.glob("*.*")) < 200_000


def test_a_server_of_it_says_demonstration(tmp_path, capsys):
    words = ["init", "--operator-name", "E", "--contact", "e", "--home", str(tmp_path / "server")]
    assert main([*words, "--detector", "demonstration"]) == 0
    assert main(["model", "show", "--home", str(tmp_path / "server"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [model["demonstration"] for model in shown["models"]] == [1]


@pytest.mark.system  # it trains for seconds
def test_it_can_be_made_again(tmp_path):
    report = bundled_detector.make(tmp_path)
    assert report["demonstration"] is True
    rows = generate(np.random.default_rng(1), 600)
    again, packaged = score(DetectorFolder(tmp_path), rows), score(PACKAGED, rows)
    assert again.auc == pytest.approx(packaged.auc, abs=0.01)
