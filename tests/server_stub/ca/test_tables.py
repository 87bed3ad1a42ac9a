from server_stub.ca.tables import METADATA
from tests.fakes.migrated_tables import differences


def test_the_migrations_create_the_described_tables(tmp_path):
    assert differences(tmp_path / "ca.sqlite3", "ca", METADATA) == []
