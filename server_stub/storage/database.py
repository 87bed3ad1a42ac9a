"""Opens SQLite databases and keeps their tables up to date.

1. A commit survives a power cut.
2. One connection writes at a time. Readers see one state and block nobody.
3. Without shared maps (some network and FUSE file systems) there is a journal that needs none. Then
   readers and the writer wait for each other.
4. Migrations run when a database is opened.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import SQLITE_BUSY, Cursor, Error, OperationalError, connect
from typing import Any, cast

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import OperationalError as SqlOperationalError
from sqlalchemy.pool import QueuePool

from agent.errors import OperatorActionError
from agent.files import file_system
from agent.files.disk_errors import write_error
from server_stub.errors import BusyError

BUSY_TIMEOUT_MS = 10_000
RETRY_S = 60
"""When a device asks again after the disk took nothing."""
MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str, migrations: str) -> Engine:
    """Connect and migrate. `migrations` names a folder below `server_stub/storage/migrations`.

    Raises OperatorActionError DATABASE, NO_FILE_LOCKS.
    """
    if not url.startswith("sqlite:///"):
        raise OperatorActionError(
            "DATABASE",
            "Only SQLite is supported so far.",
            "Give --database sqlite:///FILE, or leave the option out.",
        )
    path = Path(url.removeprefix("sqlite:///"))
    if not file_system.has_locks(path.parent):
        # SQLite would take it for another process, and wait for it.
        raise file_system.no_locks_for_server(path.parent)
    engine = create_engine(url, poolclass=QueuePool, pool_size=2)
    event.listen(engine, "connect", _preparation(_journal(path)))
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            config = Config()
            config.set_main_option(
                "script_location", str(MIGRATIONS / migrations).replace("%", "%%")
            )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DatabaseError as error:
        raise OperatorActionError(
            "DATABASE",
            f"The database cannot be used{_why(engine)}.",
            "Check the disk and the file's permissions.",
            str(error),
        ) from error
    return engine


def _why(engine: Engine) -> str:
    """Return what the system says about a small write beside the database's file."""
    error = write_error(Path(engine.url.database).parent) if engine.url.database else None
    return "" if error is None else f" ({error.strerror})"


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a connection that sees one state and blocks no writer."""
    with engine.connect().execution_options(reads_only=True) as connection, connection.begin():
        yield connection


class RawConnection:
    """A plain SQLite connection for the statements that every request runs.

    A look-up takes 10 µs, 150 µs through SQLAlchemy. Use it in one thread at a time.
    """

    def __init__(self, engine: Engine, *, waits: bool) -> None:
        """`waits`: whether a statement waits while another process writes.

        Otherwise it raises an error for which `is_busy` is true, before it changes anything.
        """
        self._connection = engine.raw_connection()
        self._connection.rollback()
        if not waits:
            self.cursor().execute("PRAGMA busy_timeout=0")

    def close(self) -> None:
        self._connection.close()

    def cursor(self) -> Cursor:
        """For a look-up outside a transaction."""
        return cast(Cursor, self._connection.cursor())

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Commit everything in the block, or nothing."""
        cursor = self.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise


STORAGE_ERRORS = (OperationalError, SqlOperationalError, OSError)
"""What a disk that is full, read-only or broken raises. Nothing was changed then."""


def cannot_store() -> BusyError:
    """Return the error for a request that could not be stored."""
    return BusyError(
        "CANNOT_STORE", "The server cannot store anything now; its disk may be full.", RETRY_S
    )


def is_busy(error: OperationalError) -> bool:
    """Whether another process had locked the database (SQLITE_BUSY or one of its extensions)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == SQLITE_BUSY


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(
        "BEGIN" if connection.get_execution_options().get("reads_only") else "BEGIN IMMEDIATE"
    )


def _journal(path: Path) -> str:
    """The journal mode that works where the database is (rule 3)."""
    if file_system.has_shared_maps(path.parent):
        return "WAL"
    if path.exists():
        # Only a connection that has the database to itself opens one whose journal needs maps.
        with suppress(Error), closing(connect(path, timeout=BUSY_TIMEOUT_MS / 1000)) as alone:
            alone.execute("PRAGMA locking_mode=EXCLUSIVE")
            alone.execute("PRAGMA journal_mode=TRUNCATE")
    return "TRUNCATE"


def _preparation(journal: str) -> Callable[[Any, object], None]:
    """Return what sets up a new connection. The driver leaves transactions to `_begin`."""

    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"journal_mode={journal}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return prepare
