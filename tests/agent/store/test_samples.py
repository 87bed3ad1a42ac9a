"""Training rows: stored once, all or none, in the order in which they arrived, up to a bound."""

import struct

import pytest

from agent.errors import AegisError
from agent.store import samples as module
from agent.store.database import Database
from agent.store.samples import Counts, Sample, Samples

ROW = tuple(range(29))
OTHER = (2**64 - 1,) * 29


@pytest.fixture
def samples(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    yield Samples(database)
    database.close()


def test_a_row_is_known_by_its_features_and_its_label(samples):
    rows = [(ROW, 0, "a.exe"), (ROW, 0, "copy.exe"), (ROW, 1, "a.exe"), (OTHER, 1, "b.exe")]
    assert samples.add(rows, now=100) == (3, 1)
    assert samples.add(rows, now=200) == (0, 4)
    assert samples.counts() == Counts(benign=1, malicious=2)
    assert samples.counts().total == 3


def test_a_page_shows_where_a_row_is_from_and_not_what_it_holds(samples):
    samples.add([(ROW, 0, "a.exe"), (OTHER, 1, "b.exe")], now=100)
    assert samples.page(0, 10) == [Sample(1, 0, "a.exe", 100), Sample(2, 1, "b.exe", 100)]
    assert samples.page(1, 10) == [Sample(2, 1, "b.exe", 100)]
    assert samples.page(0, 1) == [Sample(1, 0, "a.exe", 100)]
    assert samples.page(2, 10) == []


def test_the_training_table_is_rows_and_labels_in_one_piece_each(samples):
    samples.add([(ROW, 0, "a.exe"), (OTHER, 1, "b.exe")], now=100)
    rows, labels = samples.training_table()
    assert rows == struct.pack("<58Q", *ROW, *OTHER)
    assert labels == b"\0\1"


def test_the_export_gives_every_value_back(samples):
    samples.add([(OTHER, 1, "b.exe")], now=100)
    assert samples.everything() == [
        {"id": 1, "features": OTHER, "label": 1, "source": "b.exe", "added_at": 100}
    ]


def test_p11_the_bound_holds_and_nothing_of_a_refused_batch_is_kept(samples, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 3)
    samples.add([((number,) * 29, 0, "a") for number in range(2)], now=100)
    with pytest.raises(AegisError) as raised:
        samples.add([((number,) * 29, 0, "b") for number in range(1, 4)], now=200)
    assert raised.value.code == "SAMPLES_FULL"
    assert [row.source for row in samples.page(0, 10)] == ["a", "a"]
    assert samples.add([((number,) * 29, 0, "b") for number in range(3)], now=200) == (1, 2)


@pytest.mark.parametrize(
    "row",
    [(ROW[:28], 0, "short"), ((-1, *ROW[1:]), 0, "negative"), ((2**64, *ROW[1:]), 0, "large")],
)
def test_p11_what_is_no_row_is_refused_whole(samples, row):
    with pytest.raises(struct.error):
        samples.add([(OTHER, 1, "good"), row], now=100)
    assert samples.counts().total == 0


def test_clearing_removes_and_counts_them(samples):
    samples.add([(ROW, 0, "a"), (OTHER, 1, "b")], now=100)
    assert (samples.clear(), samples.clear()) == (2, 0)
    assert samples.training_table() == (b"", b"")
