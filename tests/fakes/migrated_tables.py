"""Compares the tables that a package describes with those that its migrations create."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from server_stub.storage.database import open_database, read_transaction


def differences(path, migrations, described):
    """What the migrated database at `path` has otherwise than `described`."""
    engine = open_database(f"sqlite:///{path}", migrations)
    try:
        with read_transaction(engine) as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return compare_metadata(context, described)
    finally:
        engine.dispose()
