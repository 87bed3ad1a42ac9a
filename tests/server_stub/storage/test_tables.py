from sqlalchemy import Column, Index, MetaData, Text

from server_stub.storage.tables import METADATA
from tests.fakes.migrated_tables import differences


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
