import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import UserActionError
from agent.protocol.jobs import ModelFiles
from server_stub.cli.evaluation import evaluate, tpr_at
from server_stub.publishing import models

FEATURES = 29
MODEL = models.make_model(
    7, models.start_model(), origin="start model", demonstration=True, now=1_800_000_000
)
FILES = ModelFiles(MODEL.content)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "rows.npz"


def test_the_start_model_tells_generated_programs_apart(table):
    rows = generate(np.random.default_rng(7), 400)
    np.savez(table, X=rows.rows, y=rows.labels)
    score = evaluate(MODEL, FILES, table)
    assert (score["model_version"], score["rows"]) == (7, len(rows.labels))
    assert score["auc"] > 0.9
    np.savez(table, X=rows.rows, y=1 - rows.labels)
    assert evaluate(MODEL, FILES, table)["auc"] == pytest.approx(1 - score["auc"], abs=1e-5)


def test_labels_may_be_any_kind_of_number(table):
    rows = np.zeros((4, FEATURES), np.uint64)
    for labels in ([0, 1, 0, 1], [0.0, 1.0, 0.0, 1.0], [False, True, False, True]):
        np.savez(table, X=rows, y=np.array(labels))
        assert evaluate(MODEL, FILES, table)["rows"] == 4


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": np.zeros((4, FEATURES))},
        {"y": np.zeros(4)},
        {"X": np.zeros((4, 3)), "y": np.zeros(4)},
        {"X": np.zeros(FEATURES), "y": np.zeros(1)},
        {"X": np.zeros((4, FEATURES)), "y": np.zeros(3)},
        {"X": np.zeros((4, FEATURES)), "y": np.zeros((4, 1))},
        {"X": np.zeros((4, FEATURES)), "y": np.full(4, 2)},
        {"X": np.zeros((4, FEATURES)), "y": np.array(["a"] * 4)},
        {"X": np.array([{}] * 4), "y": np.zeros(4)},
        {"X": np.zeros((4, FEATURES)), "y": np.full(4, np.nan)},
        {"X": np.full((4, FEATURES), "a"), "y": np.zeros(4)},
        {"X": np.full((4, FEATURES), np.nan), "y": np.array([0, 1, 0, 1])},
        {"X": np.full((4, FEATURES), -1), "y": np.array([0, 1, 0, 1])},
        {"X": np.zeros((0, FEATURES)), "y": np.zeros(0)},
    ],
    ids=[
        "no labels",
        "no rows",
        "too narrow",
        "one row",
        "too few labels",
        "column of labels",
        "third class",
        "text labels",
        "pickled rows",
        "nan labels",
        "text rows",
        "nan rows",
        "negative rows",
        "empty",
    ],
)
def test_a_table_of_another_shape_is_refused(table, arrays):
    np.savez(table, **arrays)
    with pytest.raises(UserActionError) as refused:
        evaluate(MODEL, FILES, table)
    assert refused.value.code == "BAD_TABLE"


@pytest.mark.parametrize("content", [b"", b"not a table", b"PK\x03\x04", b"\x93NUMPY"])
def test_a_file_that_is_no_table_is_refused(table, content):
    table.write_bytes(content)
    with pytest.raises(UserActionError) as refused:
        evaluate(MODEL, FILES, table)
    assert refused.value.code == "BAD_TABLE"


def test_a_missing_file_is_refused(table):
    with pytest.raises(UserActionError) as refused:
        evaluate(MODEL, FILES, table)
    assert refused.value.code == "BAD_TABLE"


def test_rows_that_are_no_numbers_are_counted_and_refused(table):
    rows = np.zeros((4, FEATURES))
    rows[2] = np.nan
    np.savez(table, X=rows, y=np.array([0, 1, 0, 1]))
    with pytest.raises(UserActionError, match="1 rows") as refused:
        evaluate(MODEL, FILES, table)
    assert refused.value.code == "NOT_NUMBERS"


def test_only_the_hold_out_counts_and_each_source_has_its_rates(table, tmp_path):
    rows = generate(np.random.default_rng(7), 400)
    count = len(rows.labels)
    split, source = np.arange(count) % 2, np.arange(count) % 4 // 2
    names = np.array(["A", "B"])
    np.savez(table, X=rows.rows, y=rows.labels, split=split, source=source, source_names=names)
    score = evaluate(MODEL, FILES, table, chart=tmp_path / "curve.png")
    assert score["rows"] == count // 2
    assert set(score["sources"]) == {"A", "B"}
    assert sum(one["benign"] + one["malicious"] for one in score["sources"].values()) == count // 2
    assert sum(point["rows"] for point in score["reliability"]) == count // 2
    assert score["balanced_accuracy"] == pytest.approx(
        (score["tpr"] + 1 - score["fpr"]) / 2, abs=1e-6
    )
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_rate_at_a_share_of_false_positives():
    labels = np.array([0] * 100 + [1] * 4)
    chances = np.concatenate([np.linspace(0, 0.99, 100), [0.5, 0.985, 0.995, 1.0]])
    assert tpr_at(labels, chances, 0.0) == 0.5
    assert tpr_at(labels, chances, 0.01) == 0.75
    assert np.isnan(tpr_at(labels[:100], chances[:100], 0.01))
