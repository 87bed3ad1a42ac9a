import sqlite3

from alembic import command
from alembic.config import Config
from sqlalchemy import Column, Index, MetaData, Text, create_engine

from server_stub.storage.database import MIGRATIONS, open_database
from server_stub.storage.tables import METADATA
from tests.fakes.migrated_tables import differences


def migrated_to(path, revision):
    """A database as an earlier version of the program left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS / "aggregator"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_an_upgrade_ends_the_round_of_groups_that_is_under_way(tmp_path):
    """Its messages cannot be replayed by the program that follows."""
    path = tmp_path / "a.sqlite3"
    migrated_to(path, "0005")
    with sqlite3.connect(path) as old:
        for number, state, mode in (
            (1, "done", "secagg"),
            (2, "open", "local"),
            (3, "combining", "secagg"),
            (4, "open", "secagg"),
        ):
            old.execute(
                "INSERT INTO rounds (round_id, state, config, config_digest, target, note)"
                " VALUES (?, ?, ?, '', 3, '')",
                (number, state, f'{{"mode": "{mode}"}}'),
            )
            old.execute(
                "INSERT INTO messages (round_id, kind, at, device_id, group_number, body)"
                " VALUES (?, 'leave', 0, 'one', 0, x'00')",
                (number,),
            )
    old.close()
    open_database(f"sqlite:///{path}", "aggregator").dispose()
    with sqlite3.connect(path) as new:
        rounds = new.execute("SELECT state, closed_at > 0 FROM rounds").fetchall()
        assert rounds == [("done", None), ("open", None), ("abandoned", 1), ("abandoned", 1)]
        assert new.execute("SELECT round_id FROM messages").fetchall() == [(1,), (2,)]
    new.close()


def copied():
    copy = MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(copy)
    return copy


def test_the_migrations_create_the_described_tables(tmp_path):
    assert differences(tmp_path / "a.sqlite3", "aggregator", METADATA) == []


def test_the_comparison_sees_a_column_and_an_index_that_no_migration_creates(tmp_path):
    changed = copied()
    changed.tables["rounds"].append_column(Column("extra", Text))
    Index("models_by_digest", changed.tables["models"].c.sha256)
    found = differences(tmp_path / "a.sqlite3", "aggregator", changed)
    assert {(kind, rest[-1].name) for kind, *rest in found} == {
        ("add_column", "extra"),
        ("add_index", "models_by_digest"),
    }
