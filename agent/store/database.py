"""The device's one SQLite file: durable, migrated by numbered steps, used by one process."""

import errno
import logging
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.errors import AegisError, InternalError, UserActionError
from agent.files import atomic_file, file_system
from agent.files.disk_errors import explained, write_error
from agent.store.migrations import MIGRATIONS

log = logging.getLogger(__name__)

Row = tuple[Any, ...]


class Database:
    """One connection. Each write is inside `transaction()`, and on the disk when that returns."""

    def __init__(self, path: Path, *, in_memory: bool = False) -> None:
        """Open and migrate.

        `in_memory`: work on a copy in memory, empty where there is no file, and write nothing to
        the disk.

        Raises UserActionError STORE_NEWER, STORE_DAMAGED, DISK_FULL and the like.
        """
        self._path = path
        self._connection = _copy(path) if in_memory else _open(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the block's writes together, or none of them.

        Raises UserActionError DISK_FULL, HOME_READ_ONLY, HOME_IN_USE, STORE_DAMAGED and the like.
        """
        with translated(self._path.parent):
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
        with translated(self._path.parent):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> Row | None:
        """Return the first row of a query, or None."""
        with translated(self._path.parent):
            return self._connection.execute(sql, values).fetchone()  # type: ignore[no-any-return]

    def execute(self, sql: str, *values: object) -> int:
        """Run one statement inside a transaction; returns the number of changed rows."""
        if not self._connection.in_transaction:
            raise InternalError("STORE_MISUSE", "A write outside a transaction.")
        with translated(self._path.parent):
            return self._connection.execute(sql, values).rowcount

    def recreate(self) -> None:
        """Delete everything: remove the file and create an empty one.

        Where the disk has no room for it, this process goes on with an empty store that takes
        nothing, and the next one makes the file.
        """
        self.close()
        self._remove()
        try:
            self._connection = _open(self._path)
        except UserActionError as error:
            log.warning("store.not_made code=%s", error.code)
            self._remove()
            self._connection = _empty()

    def _remove(self) -> None:
        for path in self.files():
            path.unlink(missing_ok=True)

    def files(self) -> tuple[Path, ...]:
        """Return the file and those that SQLite keeps beside it."""
        return database_files(self._path)

    def close(self) -> None:
        self._connection.close()


def database_files(path: Path) -> tuple[Path, ...]:
    """Return a database's file and those that SQLite keeps beside it."""
    return tuple(path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _migrate(connection)
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, each with its remedy. `folder` is where the file is."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(error, folder) from error


def damaged(detail: str) -> UserActionError:
    """Return the error for a stored value that AegisAI cannot have written."""
    return UserActionError(
        "STORE_DAMAGED",
        "AegisAI's own file is damaged.",
        "Restore it from a backup, or run aegis erase to start again.",
        detail[:300],
    )


def _open(path: Path) -> sqlite3.Connection:
    _check_plain(path)
    with translated(path.parent):
        try:
            return _opened(path)
        except sqlite3.OperationalError as error:
            if _primary(error) not in _CANNOT_SHARE:
                raise
        # SQLite found no room for the index that connections share, or a file system that cannot
        # share it. One connection alone keeps it in memory, so what is stored can still be read,
        # and withdrawn and erased.
        return _opened(path, "locking_mode = EXCLUSIVE")


def _opened(path: Path, *first: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        # FULL: a commit survives a power cut. secure_delete: deleted rows are overwritten.
        for pragma in (
            *first,
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "foreign_keys = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if os.name != "nt" and stat.S_IMODE(path.stat().st_mode) != 0o600:
            path.chmod(0o600)
        _migrate(connection)
    except OSError as error:
        connection.close()
        raise explained(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(path: Path) -> sqlite3.Connection:
    """Return a copy of the file in memory. Its folder may be read-only or missing."""
    with translated(path.parent):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            if path.exists():
                _read_into(connection, path)
            for pragma in ("foreign_keys = ON", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _read_into(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the file at `path` into an open database. Writes nothing beside it."""
    log_file = path.with_name(f"{path.name}-wal")
    try:
        if not log_file.exists() or not log_file.stat().st_size:
            _back_up(f"{path.absolute().as_uri()}?mode=ro&immutable=1", connection)
            return
        # Somebody was killed and left writes in the log. SQLite merges them only where it may make
        # a file beside it.
        with tempfile.TemporaryDirectory(prefix="aegisai-") as folder:
            for file in (path, log_file):
                shutil.copyfile(file, Path(folder) / file.name)
            _back_up((Path(folder) / path.name).as_uri(), connection)
    except OSError as error:
        raise UserActionError(
            "HOME_UNUSABLE",
            f"AegisAI cannot read its own files ({error.strerror}).",
            "Make them readable for this user, or choose another home with --home.",
        ) from error


def _back_up(uri: str, target: sqlite3.Connection) -> None:
    source = sqlite3.connect(uri, uri=True)
    try:
        source.backup(target)
    finally:
        source.close()


def _check_plain(path: Path) -> None:
    """SQLite follows links, and would write to another file of this user."""
    for each in database_files(path):
        if not atomic_file.is_plain(each):
            raise UserActionError(
                "STORE_DAMAGED",
                f"{each.name} in AegisAI's folder is a link, or not a file.",
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


_CANNOT_SHARE = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL})
_OF_THE_DISK = _CANNOT_SHARE | {sqlite3.SQLITE_READONLY}


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explained(error: sqlite3.Error, folder: Path) -> AegisError:
    code, name = _primary(error), getattr(error, "sqlite_errorname", "")
    if code == sqlite3.SQLITE_FULL:
        return explained(OSError(errno.ENOSPC, f"{name}: {error}"))
    if code in _OF_THE_DISK:
        # SQLite hides the system's error number, so ask for it with a small write of our own.
        return explained(write_error(folder) or OSError(errno.EIO, f"{name}: {error}"))
    if code == sqlite3.SQLITE_BUSY:
        if not file_system.has_locks(folder):
            return file_system.no_locks_for_agent(folder, str(error))
        return UserActionError(
            "HOME_IN_USE",
            "Another process uses this home.",
            "Wait for it to end, then try again.",
            str(error),
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
        return damaged(f"{name}: {error}")
    return InternalError(
        "STORE_FAULT", "AegisAI could not use its own file.", "Report this.", f"{name}: {error}"
    )
