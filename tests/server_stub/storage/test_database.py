"""The server's database file: durable, migrated, one writer at a time, and clear about faults."""

import sqlite3

import pytest
from sqlalchemy import text

from agent.errors import AegisError, OperatorActionError
from server_stub.storage import database
from server_stub.storage.database import RawConnection, is_busy, open_database, read_transaction


def url(path):
    return f"sqlite:///{path}"


@pytest.fixture
def engine(tmp_path):
    engine = open_database(url(tmp_path / "server.sqlite3"), "aggregator")
    yield engine
    engine.dispose()


def tables(engine):
    with read_transaction(engine) as database:
        return {row[0] for row in database.execute(text("SELECT name FROM sqlite_master"))}


def pragma(engine, name):
    with read_transaction(engine) as database:
        return database.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_every_commit_is_on_the_disk_and_what_is_deleted_is_overwritten(engine):
    found = {
        name: pragma(engine, name)
        for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


@pytest.mark.parametrize("migrations", ["aggregator", "ca"])
def test_opening_migrates_once_and_again_changes_nothing(tmp_path, migrations):
    first = open_database(url(tmp_path / "file.sqlite3"), migrations)
    made = tables(first)
    first.dispose()
    second = open_database(url(tmp_path / "file.sqlite3"), migrations)
    assert tables(second) == made > {"alembic_version"}
    second.dispose()


def test_a_percent_sign_in_a_path_is_a_character(tmp_path):
    folder = tmp_path / "50%"
    folder.mkdir()
    open_database(url(folder / "file.sqlite3"), "ca").dispose()
    assert (folder / "file.sqlite3").is_file()


@pytest.mark.parametrize("address", ["postgresql://host/name", "sqlite://", "", "file.sqlite3"])
def test_p11_another_engine_is_refused(address):
    with pytest.raises(AegisError, match="SQLite") as raised:
        open_database(address, "aggregator")
    assert raised.value.code == "DATABASE"


def test_p11_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "file.sqlite3").write_bytes(b"no database" * 400)
    for path in (tmp_path / "file.sqlite3", tmp_path / "none" / "file.sqlite3"):
        with pytest.raises(AegisError) as raised:
            open_database(url(path), "aggregator")
        assert raised.value.code == "DATABASE"


def test_a_transaction_is_all_or_nothing(engine):
    direct = RawConnection(engine, waits=True)
    with direct.transaction() as cursor:
        cursor.execute("CREATE TABLE note (id INTEGER)")

    def failing():
        with direct.transaction() as cursor:
            cursor.execute("INSERT INTO note VALUES (1)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert direct.cursor().execute("SELECT count(*) FROM note").fetchone() == (0,)
    direct.close()


def test_an_impatient_connection_says_that_another_one_writes(engine):
    waiting, impatient = RawConnection(engine, waits=True), RawConnection(engine, waits=False)

    def second():
        with impatient.transaction():
            pass

    with waiting.transaction():
        with pytest.raises(sqlite3.OperationalError) as raised:
            second()
        assert is_busy(raised.value)
    second()
    waiting.close()
    impatient.close()


def test_a_reader_sees_one_state_while_another_connection_writes(engine):
    direct = RawConnection(engine, waits=True)
    with direct.transaction() as cursor:
        cursor.execute("CREATE TABLE note (id INTEGER)")
    count = text("SELECT count(*) FROM note")
    with read_transaction(engine) as database:
        before = database.execute(count).scalar()
        with direct.transaction() as cursor:
            cursor.execute("INSERT INTO note VALUES (1)")
        assert database.execute(count).scalar() == before == 0
    with read_transaction(engine) as database:
        assert database.execute(count).scalar() == 1
    direct.close()


def test_other_faults_are_not_taken_for_another_writer():
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(":memory:").execute("SELECT * FROM none")
    assert not is_busy(raised.value)


@pytest.mark.parametrize("existing", ["wal", "none"])
def test_without_shared_maps_a_journal_is_used_that_needs_none(tmp_path, monkeypatch, existing):
    path = tmp_path / "server.sqlite3"
    if existing == "wal":
        open_database(url(path), "aggregator").dispose()
    monkeypatch.setattr(database.file_system, "has_shared_maps", lambda _: False)
    engine = open_database(url(path), "aggregator")
    with read_transaction(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "truncate"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_without_locks_the_file_system_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(database.file_system, "has_locks", lambda _: False)
    with pytest.raises(OperatorActionError) as refused:
        open_database(url(tmp_path / "server.sqlite3"), "aggregator")
    assert refused.value.code == "NO_FILE_LOCKS"
