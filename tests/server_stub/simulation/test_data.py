"""Tables are read strictly, and no group or copy of a file is on both sides of the split."""

import lzma

import numpy as np
import pytest

from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES
from agent.errors import UserActionError
from server_stub.simulation import data

WIDTH = len(FEATURE_NAMES)


def rows(count, seed=0):
    return np.random.default_rng(seed).integers(0, 100, (count, WIDTH))


def saved(folder, **arrays):
    path = folder / "rows.npz"
    np.savez(path, **arrays)
    return path


def refused(path, word):
    with pytest.raises(UserActionError, match=word) as raised:
        data.from_file(path, 1)
    assert raised.value.code == "BAD_TABLE"


def test_the_column_split_decides_where_it_exists(tmp_path):
    split = np.tile([0, 0, 1, 1], 10)
    table = data.from_file(saved(tmp_path, X=rows(40), y=np.arange(40) % 2, split=split), 1)
    assert (len(table.train), len(table.holdout)) == (20, 20)
    assert table.origin == "rows.npz"
    assert table.holdout_inputs.shape == (20, 115)


def test_the_hold_out_takes_whole_groups_and_the_same_for_the_same_seed(tmp_path):
    groups = np.arange(200) // 4
    path = saved(tmp_path, X=rows(200), y=np.arange(200) % 2, group=groups)
    table = data.from_file(path, 7)
    train, holdout = ({row.tobytes() for row in part} for part in (table.train, table.holdout))
    assert not train & holdout
    assert 0 < len(table.holdout) < len(table.train)
    assert len(table.holdout) % 4 == 0
    assert data.from_file(path, 7).holdout.tolist() == table.holdout.tolist()


def test_copies_of_a_file_are_one_group_even_with_another_checksum(tmp_path):
    distinct = rows(60)
    copies = np.concatenate([distinct, distinct])
    copies[60:, FEATURE_NAMES.index("CheckSum")] += 1
    table = data.from_file(saved(tmp_path, X=copies, y=np.tile(np.arange(60) % 2, 2)), 3)
    ignored = FEATURE_NAMES.index("CheckSum")
    train, holdout = (
        {np.delete(row, ignored).tobytes() for row in part} for part in (table.train, table.holdout)
    )
    assert not train & holdout


def test_rows_that_no_file_can_have_are_left_out(tmp_path):
    features = rows(41).astype(float)
    features[40, 0] = max(high for _, high in FEATURE_RANGES.values()) * 4.0
    features[39, 1] = -1
    labels, split = np.arange(41) % 2, np.tile([0, 1, 1, 0], 11)[:41]
    features, labels = features[:41], labels[:41]
    path = saved(tmp_path, X=features, y=labels)
    every, _ = data.rows_of(path)
    assert len(every) == 39
    refused(saved(tmp_path, X=features, y=labels, split=split), "one value for each row")


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"X": rows(4)}, "arrays X and y"),
        ({"X": rows(4)[:, :5], "y": np.zeros(4)}, "must be"),
        ({"X": rows(4), "y": np.zeros(3)}, "must be"),
        ({"X": rows(4), "y": np.array([0, 1, 2, 0])}, "zeros and ones"),
        ({"X": rows(4).astype(str), "y": np.zeros(4)}, "numbers"),
        ({"X": rows(20), "y": np.zeros(20)}, "benign and malicious"),
        ({"X": np.array([object()]), "y": np.zeros(1)}, "plain arrays"),
    ],
    ids=["no y", "narrow", "lengths", "labels", "text", "one class", "pickle"],
)
def test_a_table_of_another_form_is_refused_with_what_is_wrong(tmp_path, arrays, word):
    refused(saved(tmp_path, **arrays), word)


def test_no_file_another_file_and_an_empty_table_are_refused(tmp_path):
    refused(tmp_path / "none.npz", "not a file")
    (tmp_path / "text.npz").write_text("no archive")
    refused(tmp_path / "text.npz", "plain arrays")
    with pytest.raises(UserActionError, match="no rows"):
        data.rows_of(saved(tmp_path, X=rows(0), y=np.zeros(0)))


def test_each_row_goes_to_one_device_at_most_and_no_device_gets_more_than_asked(tmp_path):
    table = data.from_file(saved(tmp_path, X=rows(400), y=np.arange(400) % 2), 1)
    shares = data.deal(table, 7, 20, 1)
    dealt = [row.tobytes() for share in shares for row in share.rows]
    assert (len(shares), len(dealt), len(set(dealt))) == (7, 140, 140)
    assert len(data.deal(table, 100, 20, 1)[0].rows) == len(table.train) // 100
    with pytest.raises(UserActionError) as raised:
        data.deal(table, len(table.train), 20, 1)
    assert raised.value.code == "TOO_FEW_ROWS"


def test_a_table_with_sources_says_which_have_no_malware(sourced):
    table = data.sourced(sourced, 1)
    assert table.names == ("A", "B", "own")
    assert table.benign_sources() == (2,)
    assert not table.labels[table.sources == 2].any()


def test_a_table_without_sources_has_one_and_half_of_its_headers_are_the_operators(table):
    read = data.sourced(table, 1)
    assert read.names == ("all",)
    half = data.half_of_groups(read.rows)
    assert 0.3 < half.mean() < 0.7
    assert (half == data.half_of_groups(read.rows)).all()


def test_p11_rows_that_judge_need_both_classes(tmp_path):
    path = saved(tmp_path, X=rows(20), y=np.zeros(20))
    with pytest.raises(UserActionError) as raised:
        data.judged_rows(path)
    assert raised.value.code == "BAD_TABLE"


@pytest.mark.parametrize("ending", ["csv", "csv.xz"])
def test_packages_are_found_by_the_features_of_a_file(tmp_path, ending):
    table = rows(4).astype(np.uint64)
    lines = [",".join(["package", *FEATURE_NAMES])]
    lines += [",".join([name, *map(str, table[place])]) for place, name in enumerate("bab")]
    content = "\n".join(lines).encode()
    path = tmp_path / f"list.{ending}"
    path.write_bytes(lzma.compress(content) if ending.endswith("xz") else content)
    assert data.packages(path, table).tolist() == [1, 0, 1, -1]


@pytest.mark.parametrize("content", [b"package\nx", b"\xff\xfe", b"a,b\n1,2"])
def test_p11_a_list_of_packages_of_another_form_is_refused(tmp_path, content):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(UserActionError) as raised:
        data.packages(path, rows(1).astype(np.uint64))
    assert raised.value.code == "BAD_TABLE"
