"""Small JSON values by name: the agent's own state, and the person's settings."""

import json
from typing import Any, Literal

from agent.store.database import Database


class Values:
    """The values of one table."""

    def __init__(self, database: Database, table: Literal["value", "setting"]) -> None:
        self._database = database
        self._table = table

    def get(self, key: str) -> Any:
        """Return the value, or None."""
        row = self._database.row(f"SELECT json FROM {self._table} WHERE key = ?", key)  # noqa: S608
        return None if row is None else json.loads(row[0])

    def all(self) -> dict[str, Any]:
        return {
            key: json.loads(text)
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
