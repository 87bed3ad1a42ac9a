"""A scan scores every program by the model that it was given and never calls a file clean that it
could not read.
"""

from pathlib import Path

import numpy as np
import pytest
import setuptools

from agent.detector.model import DIMENSION, LogisticModel, probability, to_safetensors
from agent.detector.schema import FEATURE_NAMES
from agent.detector.transform import transform
from agent.errors import AegisError
from agent.protocol.jobs import ModelFiles, Opening, Progress, Scanned, ScannedFiles, Verdict
from agent.worker import scan as module
from agent.worker.features import read_features
from agent.worker.scan import scan

PROGRAMS = sorted(Path(setuptools.__file__).parent.glob("*.exe"))[:3]


ROW = np.array([read_features(str(PROGRAMS[0])).features], np.uint64)


def outputs_of(name, value):
    """Which model inputs change when a header field gets another value."""
    other = ROW.copy()
    other[0, FEATURE_NAMES.index(name)] = value
    return np.flatnonzero(transform(ROW) != transform(other))


def model(bias):
    """Dislikes programs without a checksum, and likes linkers of this century."""
    weights = np.zeros(DIMENSION)
    weights[:4], weights[-1] = 0.01, 1 + bias
    weights[outputs_of("CheckSum", 1)] = -0.5
    weights[outputs_of("MajorLinkerVersion", 6)] = -0.1
    return LogisticModel(weights)


def results(paths, bias=0.0, skipped=None):
    files = ModelFiles(to_safetensors(model(bias)))
    events = scan([str(path) for path in paths], files, skipped or {})
    return [file for event in events if isinstance(event, ScannedFiles) for file in event.files]


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
    assert results([path], skipped={path: "PARSER_CRASHED"}) == [
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


def test_files_are_named_before_they_are_opened_only_after_a_crash():
    paths = [str(path) for path in PROGRAMS]
    quick = list(scan(paths, ModelFiles(to_safetensors(model(0))), {}))
    slow = list(scan(paths, ModelFiles(to_safetensors(model(0))), {}, careful=True))
    assert [event for event in slow if isinstance(event, Opening)] == list(map(Opening, paths))
    assert [event for event in slow if not isinstance(event, Opening)] == quick
    assert quick[-1] == Progress(3, 3)


def test_many_files_come_in_blocks_in_their_order(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_FILES", 2)
    paths = [str(path) for path in PROGRAMS] * 3
    events = list(scan(paths, ModelFiles(to_safetensors(model(0))), {}))
    blocks = [event for event in events if isinstance(event, ScannedFiles)]
    assert [len(block.files) for block in blocks] == [2, 2, 2, 2, 1]
    assert [file.path for block in blocks for file in block.files] == paths


@pytest.mark.parametrize(("bias", "sign"), [(-5, -1), (0.5, 1), (5, 1)])
def test_a_verdict_has_reasons_that_pull_its_way(bias, sign):
    for result in results(PROGRAMS, bias):
        assert 1 <= len(result.reasons) <= 3
        assert all(sign * reason.weight > 0 for reason in result.reasons)


def test_reasons_of_a_large_scan_are_for_what_deserves_a_look(monkeypatch):
    monkeypatch.setattr(module, "FEW_FILES", 2)
    assert not any(result.reasons for result in results(PROGRAMS, -5))
    monkeypatch.setattr(module, "MAX_EXPLAINED", 2)
    assert [bool(result.reasons) for result in results(PROGRAMS, 5)] == [True, True, False]
