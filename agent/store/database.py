"""The device's one SQLite file: durable, migrated by numbered steps, used by one process."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent import atomic_file
from agent.errors import AegisError, InternalError, UserActionError
from agent.store.migrations import MIGRATIONS

Row = tuple[Any, ...]


class Database:
    """One connection. Each write is inside `transaction()`, and on the disk when that returns."""

    def __init__(self, path: Path) -> None:
        """Open and migrate. Raises UserActionError STORE_NEWER, STORE_DAMAGED, DISK_FULL."""
        self._path = path
        self._connection = _open(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the block's writes together, or none of them.

        Raises UserActionError DISK_FULL, HOME_IN_USE, STORE_DAMAGED.
        """
        with translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *values: object) -> list[Row]:
        """Return every row of a query."""
        with translated():
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> Row | None:
        """Return the first row of a query, or None."""
        with translated():
            return self._connection.execute(sql, values).fetchone()  # type: ignore[no-any-return]

    def execute(self, sql: str, *values: object) -> int:
        """Run one statement inside a transaction; returns the number of changed rows."""
        if not self._connection.in_transaction:
            raise InternalError("STORE_MISUSE", "A write outside a transaction.")
        with translated():
            return self._connection.execute(sql, values).rowcount

    def recreate(self) -> None:
        """Delete everything: remove the file and create an empty one."""
        self.close()
        for path in self.files():
            path.unlink(missing_ok=True)
        self._connection = _open(self._path)

    def files(self) -> tuple[Path, ...]:
        """Return the file and those that SQLite keeps beside it."""
        return database_files(self._path)

    def close(self) -> None:
        self._connection.close()


def database_files(path: Path) -> tuple[Path, ...]:
    """Return a database's file and those that SQLite keeps beside it."""
    return tuple(path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into ours, each with its remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(error) from error


def _open(path: Path) -> sqlite3.Connection:
    _check_plain(path)
    with translated():
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        try:
            path.chmod(0o600)
            # FULL: a commit survives a power cut. secure_delete: deleted rows are overwritten.
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "secure_delete = ON",
                "foreign_keys = ON",
                "trusted_schema = OFF",
            ):
                connection.execute(f"PRAGMA {pragma}")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _check_plain(path: Path) -> None:
    """SQLite follows links, and would write to another file of this user."""
    for each in database_files(path):
        if not atomic_file.is_plain(each):
            raise UserActionError(
                "STORE_DAMAGED",
                f"A link or no file is in the place of {each.name} in AegisAI's folder.",
                "Remove it.",
            )


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise UserActionError(
            "STORE_NEWER",
            "A newer AegisAI wrote these files.",
            "Install the newest version, or use another home.",
            str(version),
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
        )


def _explained(error: sqlite3.Error) -> AegisError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    ):
        return UserActionError(
            "DISK_FULL",
            "AegisAI could not write its files. Nothing was changed.",
            "Free some disk space and try again.",
            str(error),
        )
    if code == sqlite3.SQLITE_BUSY:
        return UserActionError(
            "HOME_IN_USE",
            "Another process uses this home.",
            "Wait for it to end, then try again.",
            str(error),
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return UserActionError(
            "STORE_DAMAGED",
            "AegisAI's own file is damaged.",
            "Run aegis erase to start again.",
            str(error),
        )
    return InternalError(
        "STORE_FAULT", "AegisAI could not use its own file.", "Report this.", str(error)
    )
