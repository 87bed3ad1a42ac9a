"""Small JSON values by name: the agent's own state, and the person's settings."""

import json
from typing import Any, Final, Literal

from agent.store.database import Database, damaged
from agent.store.shapes import conforms

UNREADABLE: Final = object()


class Values:
    """The values of one table."""

    def __init__(self, database: Database, table: Literal["value", "setting"]) -> None:
        self._database = database
        self._table = table

    def get(self, key: str, shape: Any = object) -> Any:
        """Return the value, or None. Raises UserActionError STORE_DAMAGED unless it has the shape
        (agent.store.shapes).
        """
        row = self._database.row(f"SELECT json FROM {self._table} WHERE key = ?", key)  # noqa: S608
        if row is None:
            return None
        value = _parsed(row[0])
        if value is UNREADABLE or not conforms(value, shape):
            raise damaged(f"{self._table} {key}")
        return value

    def all(self) -> dict[str, Any]:
        """Return every value by its key; UNREADABLE for one that is not JSON."""
        return {
            str(key): _parsed(text)
            for key, text in self._database.rows(f"SELECT key, json FROM {self._table}")  # noqa: S608
        }

    def put(self, key: str, value: Any) -> None:
        """Set a value durably; None removes it."""
        with self._database.transaction():
            self.put_within(key, value)

    def put_within(self, key: str, value: Any) -> None:
        """Do what `put` does inside the caller's transaction."""
        if value is None:
            self._database.execute(f"DELETE FROM {self._table} WHERE key = ?", key)  # noqa: S608
        else:
            self._database.execute(
                f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?)",  # noqa: S608
                key,
                json.dumps(value),
            )


def _parsed(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else UNREADABLE
    except (ValueError, RecursionError):
        return UNREADABLE
