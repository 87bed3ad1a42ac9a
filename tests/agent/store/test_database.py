"""The file: durable, migrated, private, and clear about what is wrong with it."""

import multiprocessing
import resource
import signal
import sqlite3
import stat

import pytest

from agent.errors import InternalError, UserActionError
from agent.protocol.sources import Source
from agent.store.database import Database
from agent.store.migrations import MIGRATIONS
from agent.store.samples import NewRow, Samples
from agent.store.values import Values


def test_p4_every_commit_is_synchronous_and_the_file_is_private(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    assert database.row("PRAGMA synchronous") == (2,)
    assert database.row("PRAGMA journal_mode") == ("wal",)
    assert database.row("PRAGMA user_version") == (len(MIGRATIONS),)
    assert stat.S_IMODE((tmp_path / "agent.sqlite3").stat().st_mode) == 0o600
    database.close()


def test_a_newer_file_is_left_alone(tmp_path):
    path = tmp_path / "agent.sqlite3"
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    with pytest.raises(UserActionError) as raised:
        Database(path)
    assert raised.value.code == "STORE_NEWER"


def test_p11_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "agent.sqlite3"
    path.write_bytes(b"not a database at all" * 400)
    with pytest.raises(UserActionError) as raised:
        Database(path)
    assert raised.value.code == "STORE_DAMAGED"


def test_writes_need_a_transaction_and_a_failed_one_leaves_nothing(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    values = Values(database, "value")
    with pytest.raises(InternalError):
        values.put_within("a", 1)
    with pytest.raises(TypeError), database.transaction():
        values.put_within("a", values.put_within("a", 1) or object())
    assert values.get("a") is None
    values.put("a", {"b": [1]})
    assert values.get("a") == {"b": [1]}
    values.put("a", None)
    assert values.all() == {}
    database.close()


def test_samples_are_kept_once_and_counted(tmp_path):
    database = Database(tmp_path / "agent.sqlite3")
    samples = Samples(database)
    row = tuple(range(29))
    assert samples.add([NewRow(row, label, Source.PERSON) for label in (1, 1, 0)], 5) == (2, 1)
    assert (samples.counts().benign, samples.counts().malicious) == (1, 1)
    rows, labels = samples.training_table()
    assert (len(rows), labels) == (2 * 29 * 8, b"\x01\x00")
    assert int.from_bytes(rows[8:16], "little") == 1
    assert [sample.source for sample in samples.page(0, 10)] == ["person", "person"]
    assert samples.everything()[0]["features"] == row
    assert samples.clear() == 2
    database.close()


def test_names_of_files_leave_the_store_with_the_fourth_step(tmp_path, monkeypatch):
    path = tmp_path / "agent.sqlite3"
    monkeypatch.setattr("agent.store.database.MIGRATIONS", MIGRATIONS[:3])
    database = Database(path)
    with database.transaction():
        database.execute(
            "INSERT INTO sample (features, label, source, added_at) VALUES (?, 1, ?, ?)",
            bytes(232),
            "Payroll of Ms Doe.exe",
            100_000,
        )
    database.close()
    monkeypatch.undo()
    database = Database(path)
    assert [vars(one) for one in Samples(database).page(0, 9)] == [
        {"id": 1, "label": 1, "source": "person", "added_at": 86_400}
    ]
    database.close()
    assert b"Doe" not in b"".join(one.read_bytes() for one in tmp_path.iterdir())


def _fill(path, answers):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database = Database(path)
    values = Values(database, "value")
    values.put("kept", "before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        values.put("big", "x" * 1_000_000)
    except UserActionError as error:
        answers.put((error.code, values.get("kept"), values.get("big")))


def test_p11_a_file_that_cannot_grow_is_one_clear_error_and_nothing_is_lost(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    child = spawn.Process(target=_fill, args=(tmp_path / "agent.sqlite3", answers))
    child.start()
    assert answers.get(timeout=20) == ("DISK_FAULT", "before", None)
    child.join()
    database = Database(tmp_path / "agent.sqlite3")
    assert Values(database, "value").all() == {"kept": "before"}
    database.close()


def test_a_copy_in_memory_reads_what_is_there_and_writes_nothing(tmp_path):
    path = tmp_path / "agent.sqlite3"
    kept = Database(path)
    Values(kept, "value").put("a", 1)
    for is_open in (True, False):  # with writes that are only in the log, and merged
        copy = Database(path, in_memory=True)
        before = sorted(tmp_path.iterdir())
        assert Values(copy, "value").get("a") == 1
        Values(copy, "value").put("a", 2)
        assert sorted(tmp_path.iterdir()) == before
        copy.close()
        if is_open:
            assert path.with_name("agent.sqlite3-wal").stat().st_size
            kept.close()
    again = Database(path)
    assert Values(again, "value").get("a") == 1
    again.close()


def test_a_copy_of_nothing_is_empty_and_makes_nothing(tmp_path):
    copy = Database(tmp_path / "none" / "agent.sqlite3", in_memory=True)
    assert Values(copy, "value").all() == {}
    copy.close()
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "agent.sqlite3"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UserActionError) as raised:
        Database(path, in_memory=True)
    assert raised.value.code == "STORE_DAMAGED"
