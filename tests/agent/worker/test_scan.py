"""A scan scores every program by the model that it was given and never calls a file clean that it
could not read.
"""

from pathlib import Path

import numpy as np
import pytest
import setuptools

from agent.detector.model import DIMENSION, LogisticModel, probability, to_safetensors
from agent.detector.transform import transform
from agent.errors import AegisError
from agent.protocol.jobs import ModelFiles, Opening, Scanned, Verdict
from agent.worker.features import read_features
from agent.worker.scan import scan

PROGRAMS = sorted(Path(setuptools.__file__).parent.glob("*.exe"))[:3]


def model(bias):
    weights = np.zeros(DIMENSION)
    weights[:4], weights[-1] = 0.01, bias
    return LogisticModel(weights)


def results(paths, bias=0.0, skipped=None):
    files = ModelFiles(to_safetensors(model(bias)))
    events = scan([str(path) for path in paths], files, skipped or {})
    return [event for event in events if not isinstance(event, Opening)]


@pytest.mark.parametrize(
    ("bias", "verdict"), [(-5, Verdict.BENIGN), (0.5, Verdict.UNSURE), (5, Verdict.MALICIOUS)]
)
def test_the_score_is_the_models_opinion_of_the_files_row(bias, verdict):
    found = results(PROGRAMS, bias)
    rows = np.array([read_features(str(path)).features for path in PROGRAMS], np.uint64)
    assert [result.probability for result in found] == pytest.approx(
        probability(model(bias), transform(rows)).tolist()
    )
    assert {result.verdict for result in found} == {verdict}
    assert [result.path for result in found] == [str(path) for path in PROGRAMS]


def test_p11_what_cannot_be_scored_keeps_its_place_and_has_no_probability(tmp_path):
    (tmp_path / "text").write_text("no program")
    (tmp_path / "cut.exe").write_bytes(PROGRAMS[0].read_bytes()[:200])
    found = results(
        [tmp_path / "text", PROGRAMS[0], tmp_path / "cut.exe", tmp_path / "none", PROGRAMS[1]]
    )
    assert [(result.verdict, result.code) for result in found] == [
        (Verdict.NOT_PE, "NOT_PE"),
        (Verdict.UNSURE, ""),
        (Verdict.ERROR, "TRUNCATED_PE"),
        (Verdict.ERROR, "NOT_FOUND"),
        (Verdict.UNSURE, ""),
    ]
    assert [result.probability is None for result in found] == [True, False, True, True, False]


def test_p11_a_file_that_crashed_the_parser_is_not_opened_again():
    path = str(PROGRAMS[0])
    events = list(scan([path], ModelFiles(to_safetensors(model(0))), {path: "PARSER_CRASHED"}))
    assert events == [
        Scanned(
            path,
            Verdict.ERROR,
            None,
            "PARSER_CRASHED",
            "Reading this file crashed the process that read it.",
        )
    ]


def test_p8_a_broken_model_scores_nothing():
    with pytest.raises(AegisError) as raised:
        list(scan([str(PROGRAMS[0])], ModelFiles(b"broken"), {}))
    assert raised.value.code == "MODEL_WRONG_SHAPE"


def test_nothing_to_scan_is_no_error(tmp_path):
    assert results([]) == results([tmp_path]) == []
