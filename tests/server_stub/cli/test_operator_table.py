"""An operator's table is read with its sources and its split; what would spoil a model is named."""

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import UserActionError
from server_stub.cli.operator_table import ALL, read_table


@pytest.fixture
def arrays():
    table = generate(np.random.default_rng(5), 80)
    count = len(table.labels)
    return {
        "X": table.rows,
        "y": table.labels,
        "split": np.arange(count) % 2,
        "source": np.arange(count) % 3,
        "source_names": np.array(["A", "B", "C"]),
    }


def read(tmp_path, **arrays):
    path = tmp_path / "rows.npz"
    np.savez(path, **arrays)
    return read_table(path)


def test_a_table_has_its_sources_and_its_split(tmp_path, arrays):
    table = read(tmp_path, **arrays)
    assert table.sources[:4].tolist() == ["A", "B", "C", "A"]
    assert table.held_out.tolist() == [number % 2 == 1 for number in range(len(table))]
    assert len(table.judged) == len(table) // 2
    chosen = table.of_sources(("A", "C"))
    assert set(chosen.sources.tolist()) == {"A", "C"}
    assert len(table.of_sources(())) == len(table)


def test_a_table_may_have_neither(tmp_path, arrays):
    table = read(tmp_path, X=arrays["X"], y=arrays["y"])
    assert set(table.sources.tolist()) == {ALL}
    assert len(table.judged) == len(table)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"split": np.zeros(3)}, "BAD_TABLE"),
        ({"source": np.full(80, 7)}, "BAD_TABLE"),
        ({"X": np.full((80, 29), -1.0)}, "BAD_TABLE"),
    ],
    ids=["a short column", "an unknown source", "no headers"],
)
def test_p11_a_table_that_does_not_fit_is_refused(tmp_path, arrays, change, code):
    short = {name: value[:80] for name, value in arrays.items()}
    with pytest.raises(UserActionError) as raised:
        read(tmp_path, **(short | change))
    assert raised.value.code == code


def test_p11_an_unknown_source_is_named(tmp_path, arrays):
    with pytest.raises(UserActionError, match="no source D; it has A, B, C"):
        read(tmp_path, **arrays).of_sources(("D",))


def test_rows_that_are_no_numbers_are_refused_by_their_count(tmp_path, arrays):
    rows = arrays["X"].astype(float)
    rows[:2, 5] = np.nan
    with pytest.raises(UserActionError, match="2 rows") as raised:
        read(tmp_path, **{**arrays, "X": rows})
    assert raised.value.code == "NOT_NUMBERS"


def test_one_class_alone_is_refused(tmp_path, arrays):
    read(tmp_path, **arrays).check_both_classes()
    with pytest.raises(UserActionError, match="no malicious rows") as raised:
        read(tmp_path, **{**arrays, "y": np.zeros_like(arrays["y"])}).check_both_classes()
    assert raised.value.code == "ONE_CLASS"


def test_copies_across_the_split_and_sources_of_one_sort_are_found(tmp_path, arrays):
    table = read(tmp_path, **arrays)
    before = table.shared_headers()
    rows, labels = arrays["X"].copy(), np.where(arrays["source"] == 1, 0, arrays["y"])
    rows[1] = rows[0]
    again = read(tmp_path, **{**arrays, "X": rows, "y": labels})
    assert again.shared_headers() >= max(1, before)
    assert "B" in again.sources_of_one_class()
