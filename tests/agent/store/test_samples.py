"""Training rows: stored once, all or none, in the order in which they arrived, up to a bound."""

import struct

import pytest

from agent.errors import AegisError
from agent.protocol.sources import Source
from agent.store import samples as module
from agent.store.database import Database
from agent.store.samples import DAY_S, Counts, NewRow, Sample, Samples

ROW = tuple(range(29))
OTHER = (2**64 - 1,) * 29
DAY = 20_000 * DAY_S


def by_hand(features, label, digest=None):
    return NewRow(features, label, Source.PERSON, digest)


@pytest.fixture
def samples(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    yield Samples(database)
    database.close()


def test_a_row_is_known_by_its_features_and_its_label(samples):
    rows = [by_hand(ROW, 0), by_hand(ROW, 0), by_hand(ROW, 1), by_hand(OTHER, 1)]
    assert samples.add(rows, now=100) == (3, 1)
    assert samples.add(rows, now=200) == (0, 4)
    assert samples.counts() == Counts(benign=1, malicious=2)
    assert samples.counts().total == 3


def test_a_page_shows_where_a_row_is_from_and_not_what_it_holds(samples):
    samples.add([by_hand(ROW, 0), NewRow(OTHER, 1, Source.CLAMAV)], now=DAY + 4000)
    first, second = Sample(1, 0, "person", DAY), Sample(2, 1, "clamav", DAY)
    assert samples.page(0, 10) == [first, second]
    assert samples.page(1, 10) == [second]
    assert samples.page(0, 1) == [first]
    assert samples.page(2, 10) == []


def test_the_training_table_is_rows_and_labels_in_one_piece_each(samples):
    samples.add([by_hand(ROW, 0), by_hand(OTHER, 1)], now=DAY)
    rows, labels = samples.training_table()
    assert rows == struct.pack("<58Q", *ROW, *OTHER)
    assert labels == b"\0\1"


def test_the_export_gives_every_value_back(samples):
    samples.add([by_hand(OTHER, 1, b"d" * 32)], now=DAY + 5)
    assert samples.everything() == [
        {"id": 1, "features": OTHER, "label": 1, "source": "person", "added_at": DAY}
    ]


def test_p11_the_bound_holds_and_nothing_of_a_refused_batch_is_kept(samples, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 3)
    samples.add([by_hand((number,) * 29, 0) for number in range(2)], now=DAY)
    with pytest.raises(AegisError) as raised:
        samples.add([by_hand((number,) * 29, 0) for number in range(1, 4)], now=DAY)
    assert raised.value.code == "SAMPLES_FULL"
    assert samples.counts().total == 2
    assert samples.add([by_hand((number,) * 29, 0) for number in range(3)], now=DAY) == (1, 2)


@pytest.mark.parametrize(
    "row",
    [by_hand(ROW[:28], 0), by_hand((-1, *ROW[1:]), 0), by_hand((2**64, *ROW[1:]), 0)],
    ids=["short", "negative", "large"],
)
def test_p11_what_is_no_row_is_refused_whole(samples, row):
    with pytest.raises(struct.error):
        samples.add([by_hand(OTHER, 1), row], now=100)
    assert samples.counts().total == 0


def test_clearing_removes_and_counts_them(samples):
    samples.add([by_hand(ROW, 0), by_hand(OTHER, 1)], now=100)
    assert (samples.clear(), samples.clear()) == (2, 0)
    assert samples.training_table() == (b"", b"")


def row(number, source=Source.PACKAGES):
    from agent.protocol.sources import label_of

    return NewRow((number,) * 29, label_of(source), source, bytes([number]) * 32)


def test_a_day_takes_only_so_many_new_rows(samples):
    rows = [row(number) for number in range(5)]
    assert samples.collect(rows, [], DAY, most=3) == 3
    assert samples.collect(rows, [], DAY + DAY_S - 1, most=3) == 0
    assert samples.collect(rows, [], DAY + DAY_S, most=3) == 2
    assert samples.counts_by_source() == {"packages": 5}


def test_the_newest_word_about_a_file_counts_but_never_against_a_persons(samples):
    found = NewRow((1,) * 29, 1, Source.CLAMAV, bytes([1]) * 32)
    samples.collect([row(1), row(2)], [], DAY, most=9)
    assert samples.collect([found], [], DAY, most=9) == 1
    assert samples.counts() == Counts(benign=1, malicious=1)
    assert samples.mark([by_hand((1,) * 29, 0, bytes([1]) * 32)], DAY) == (0, 1)
    assert samples.collect([found], [bytes([1]) * 32], DAY, most=9) == 0
    assert samples.counts_by_source() == {"packages": 1, "person": 1}
    assert samples.counts().malicious == 0


def test_a_file_that_sources_contradict_each_other_about_is_removed(samples):
    samples.collect([row(1), row(2)], [], DAY, most=9)
    samples.collect([], [bytes([1]) * 32], DAY, most=9)
    assert [one.id for one in samples.page(0, 9)] == [2]


def test_rows_of_sources_end_with_their_days_or_their_switch_and_a_persons_stay(samples):
    samples.add([by_hand((9,) * 29, 0)], DAY)
    samples.collect([row(1), row(2, Source.CLAMAV)], [], DAY, most=9)
    kept = (Source.PACKAGES, Source.CLAMAV)
    assert samples.expire(DAY + 90 * DAY_S - 1, 90, kept) == 0
    assert samples.expire(DAY, 90, (Source.CLAMAV,)) == 1
    assert samples.expire(DAY + 90 * DAY_S, 90, kept) == 1
    assert samples.counts_by_source() == {"person": 1}
    assert samples.expire(DAY + 900 * DAY_S, 90, ()) == 0


def test_the_oldest_rows_of_sources_give_way(samples, monkeypatch):
    monkeypatch.setattr(module, "MAX_COLLECTED", 2)
    samples.add([by_hand((9,) * 29, 0)], DAY)
    samples.collect([row(number) for number in range(4)], [], DAY, most=9)
    assert [one.id for one in samples.page(0, 9)] == [1, 4, 5]


def test_one_signed_row_in_four_is_trained_on(samples):
    samples.collect([row(number, Source.SIGNED) for number in range(8)], [], DAY, most=9)
    rows, labels = samples.training_table()
    assert (len(labels), len(rows)) == (2, 2 * 29 * 8)
    assert samples.training_counts() == Counts(benign=2, malicious=0)
    assert samples.counts().benign == 8


def test_a_digest_says_nothing_without_the_key_of_this_store(samples, tmp_path):
    other = Database(tmp_path / "other.sqlite3")
    content = "ab" * 32
    assert samples.digests([content]) == samples.digests([content])
    assert samples.digests([content]) != Samples(other).digests([content])
    other.close()
