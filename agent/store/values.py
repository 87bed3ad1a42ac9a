"""Small values by name: the enrolment, the pause, what was asked last; and the person's
settings.
"""

import json
from typing import Any, Literal

from agent.store.database import Database


class Values:
    """JSON values in one of two tables."""

    def __init__(self, database: Database, table: Literal["value", "setting"]) -> None:
        self._database = database
        self._table = table

    def get(self, key: str) -> Any:
        """The value, or None."""
        row = self._database.row(f"SELECT json FROM {self._table} WHERE key = ?", key)  # noqa: S608
        return None if row is None else json.loads(row[0])

    def all(self) -> dict[str, Any]:
        return {
            key: json.loads(text)
            for key, text in self._database.rows(f"SELECT key, json FROM {self._table}")  # noqa: S608
        }

    def put(self, key: str, value: Any) -> None:
        """Durably set a value; None removes it."""
        with self._database.transaction():
            self.put_within(key, value)

    def put_within(self, key: str, value: Any) -> None:
        """As `put`, as part of the caller's transaction."""
        if value is None:
            self._database.execute(f"DELETE FROM {self._table} WHERE key = ?", key)  # noqa: S608
        else:
            self._database.execute(
                f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?)",  # noqa: S608
                key,
                json.dumps(value),
            )
