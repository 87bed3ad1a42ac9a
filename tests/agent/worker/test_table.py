"""A table gives the rows that a header could hold and names the others; what is no table costs
nothing.
"""

import io
import zipfile

import numpy as np
import pytest

from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES
from agent.errors import AegisError
from agent.protocol.jobs import LabelledRow, RefusedInput, Table
from agent.worker import table as module
from agent.worker.table import import_table

GOOD = np.array([[number] * 29 for number in range(4)], np.uint64)
LABELS = np.array([0, 1, 0, 1])


def events(tmp_path, **arrays):
    np.savez(tmp_path / "table.npz", **arrays)
    return list(import_table(str(tmp_path / "table.npz")))


def refusal(path):
    with pytest.raises(AegisError) as raised:
        list(import_table(str(path)))
    assert raised.value.code == "BAD_TABLE"
    return raised.value.message


@pytest.mark.parametrize("kind", [np.uint64, np.int64, np.int8, np.float64, np.float32])
@pytest.mark.parametrize("label", [np.int64, np.uint8, np.bool_, np.float64])
def test_rows_of_any_numeric_type_are_read_alike(tmp_path, kind, label):
    expected = tuple(LabelledRow((number,) * 29, number % 2) for number in range(4))
    assert events(tmp_path, X=GOOD.astype(kind), y=LABELS.astype(label)) == [Table(expected)]


def test_the_highest_value_of_every_field_is_kept(tmp_path):
    highest = np.array([[high for _, high in FEATURE_RANGES.values()]], np.uint64)
    ((row,),) = (event.rows for event in events(tmp_path, X=highest, y=np.ones(1, int)))
    assert row.features == tuple(high for _, high in FEATURE_RANGES.values())


@pytest.mark.parametrize("bad", [-1.0, 0.5, np.nan, np.inf, 2.0**64, 2.0**16])
def test_p11_a_row_with_an_impossible_value_is_left_out_and_named(tmp_path, bad):
    features = GOOD.astype(np.float64)
    features[2, FEATURE_NAMES.index("Characteristics")] = bad
    table, refused = events(tmp_path, X=features, y=LABELS)
    assert [row.features[0] for row in table.rows] == [0, 1, 3]
    assert (refused.code, "Row 2 " in refused.message) == ("BAD_ROW", True)


@pytest.mark.parametrize("label", [2.0, -1.0, 0.5, np.nan])
def test_p11_a_row_with_another_label_is_left_out(tmp_path, label):
    table, refused = events(tmp_path, X=GOOD, y=np.array([0, label, 1, 1]))
    assert (len(table.rows), "Row 1 " in refused.message) == (3, True)


def test_p11_many_bad_rows_are_counted_and_not_listed(tmp_path):
    table, *refused = events(tmp_path, X=np.full((50, 29), -1), y=np.zeros(50, int))
    assert table == Table(())
    assert all(isinstance(event, RefusedInput) for event in refused)
    assert len(refused) == module.MAX_REFUSED_ROWS + 1
    assert refused[-1].message.startswith("30 more rows")


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": GOOD},
        {"y": LABELS},
        {"X": GOOD[:, :28], "y": LABELS},
        {"X": GOOD, "y": LABELS[:3]},
        {"X": GOOD[0], "y": LABELS},
        {"X": GOOD.astype(str), "y": LABELS},
        {"X": GOOD.astype(complex), "y": LABELS},
        {"X": GOOD, "y": LABELS.astype(str)},
        {"X": np.array([{}] * 4, object), "y": LABELS},
    ],
    ids=[
        "no labels",
        "no rows",
        "narrow",
        "short",
        "flat",
        "text",
        "complex",
        "text labels",
        "objects",
    ],
)
def test_p11_another_form_is_refused_whole(tmp_path, arrays):
    np.savez(tmp_path / "table.npz", **arrays)
    assert refusal(tmp_path / "table.npz").startswith("The table cannot be imported: ")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_p11_bytes_that_are_no_table_are_refused(tmp_path, content):
    (tmp_path / "table.npz").write_bytes(content)
    assert "not an .npz file" in refusal(tmp_path / "table.npz")


def test_p11_a_missing_file_and_a_folder_are_refused_by_their_reason(tmp_path):
    assert "There is no such file" in refusal(tmp_path / "none.npz")
    assert "Not an ordinary file" in refusal(tmp_path)


def test_p11_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 10_000)
    np.savez_compressed(tmp_path / "table.npz", X=np.zeros((100, 29)), y=np.zeros(100))
    assert (tmp_path / "table.npz").stat().st_size < 2000
    assert "at most" in refusal(tmp_path / "table.npz")


def test_p11_an_archive_that_states_a_smaller_size_is_refused_too(tmp_path):
    """The stated size is what was checked, so unpacking has to stop there."""
    packed = io.BytesIO()
    np.savez_compressed(packed, X=np.zeros((100, 29)), y=np.zeros(100))
    lying = bytearray(packed.getvalue())
    with zipfile.ZipFile(io.BytesIO(lying)) as archive:
        true_size = archive.getinfo("X.npy").file_size.to_bytes(4, "little")
    while (at := bytes(lying).find(true_size)) >= 0:
        lying[at : at + 4] = (200).to_bytes(4, "little")
    (tmp_path / "table.npz").write_bytes(lying)
    assert "not an .npz file" in refusal(tmp_path / "table.npz")


def test_p11_limits_on_rows_and_on_the_file_hold(tmp_path, monkeypatch):
    np.savez(tmp_path / "table.npz", X=GOOD, y=LABELS)
    monkeypatch.setattr(module, "MAX_TABLE_ROWS", 3)
    assert "at most 3 rows" in refusal(tmp_path / "table.npz")
    monkeypatch.setattr(module, "MAX_TABLE_FILE_BYTES", 100)
    assert "larger than" in refusal(tmp_path / "table.npz")
