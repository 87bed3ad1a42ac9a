import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import UserActionError
from server_stub.cli.evaluation import evaluate
from server_stub.publishing import models

FEATURES = 29
MODEL = models.make_model(
    7, models.start_model(), origin="start model", demonstration=True, now=1_800_000_000
)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "rows.npz"


def test_the_start_model_tells_generated_programs_apart(table):
    rows = generate(np.random.default_rng(7), 400)
    np.savez(table, X=rows.rows, y=rows.labels)
    score = evaluate(MODEL, table)
    assert (score["model_version"], score["rows"]) == (7, len(rows.labels))
    assert score["auc"] > 0.9
    np.savez(table, X=rows.rows, y=1 - rows.labels)
    assert evaluate(MODEL, table)["auc"] == pytest.approx(1 - score["auc"], abs=1e-5)


def test_labels_may_be_any_kind_of_number(table):
    rows = np.zeros((4, FEATURES), np.uint64)
    for labels in ([0, 1, 0, 1], [0.0, 1.0, 0.0, 1.0], [False, True, False, True]):
        np.savez(table, X=rows, y=np.array(labels))
        assert evaluate(MODEL, table)["rows"] == 4


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
        evaluate(MODEL, table)
    assert refused.value.code == "BAD_TABLE"


@pytest.mark.parametrize("content", [b"", b"not a table", b"PK\x03\x04", b"\x93NUMPY"])
def test_a_file_that_is_no_table_is_refused(table, content):
    table.write_bytes(content)
    with pytest.raises(UserActionError) as refused:
        evaluate(MODEL, table)
    assert refused.value.code == "BAD_TABLE"


def test_a_missing_file_is_refused(table):
    with pytest.raises(UserActionError) as refused:
        evaluate(MODEL, table)
    assert refused.value.code == "BAD_TABLE"


def test_rows_that_no_file_header_can_have_do_not_count(table):
    rows = np.zeros((4, FEATURES))
    rows[1] = -1
    rows[2] = np.nan
    np.savez(table, X=rows, y=np.array([0, 1, 0, 1]))
    assert evaluate(MODEL, table)["rows"] == 2
