"""Append-only tables whose rows are chained by hashes: consent records and privacy charges.

1. A row's hash is SHA-256(previous hash ‖ canonical body); the first row follows 32 zero bytes.
2. Rows are numbered from 1 without gaps. SQLite triggers refuse updates and deletes.
3. A row that was altered, inserted, or removed from the middle breaks the chain. The file alone
   shows neither that the newest rows were removed, nor that it is an older copy, nor that somebody
   wrote it anew from the first row (agent.store.sealed_chain does).
"""

import hashlib
import json
from typing import Any, Literal

from agent.errors import UserActionError
from agent.protocol.canonical import canonical
from agent.store.database import Database

FIRST = "00" * 32

Table = Literal["consent", "charge"]


class Chain:
    """One chained table. Call `append` inside a transaction."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def append(self, body: dict[str, Any]) -> int:
        """Add a row; returns its number."""
        last = self._database.row(f"SELECT seq, hash FROM {self._table} ORDER BY seq DESC LIMIT 1")  # noqa: S608
        seq, previous = (last[0] + 1, last[1]) if last else (1, FIRST)
        text = canonical(body)
        self._database.execute(
            f"INSERT INTO {self._table} (seq, body, hash) VALUES (?, ?, ?)",  # noqa: S608
            seq,
            text.decode(),
            link(previous, text),
        )
        return seq

    def last(self) -> dict[str, Any] | None:
        """Return the newest body, or None."""
        row = self._database.row(f"SELECT body FROM {self._table} ORDER BY seq DESC LIMIT 1")  # noqa: S608
        return None if row is None else dict(json.loads(row[0]))

    def hashes(self) -> list[str]:
        """Return the hash of each row, in order."""
        return [
            str(row[0])
            for row in self._database.rows(f"SELECT hash FROM {self._table} ORDER BY seq")  # noqa: S608
        ]

    def verified(self) -> list[dict[str, Any]]:
        """Check the whole chain and return each body, in order.

        Raises UserActionError CHAIN_BROKEN.
        """
        return [json.loads(text) for text in self.texts()]

    def texts(self) -> list[bytes]:
        """Check the whole chain and return each body in its canonical form, in order.

        Raises UserActionError CHAIN_BROKEN.
        """
        texts: list[bytes] = []
        previous = FIRST
        for number, (seq, body, stored) in enumerate(
            self._database.rows(f"SELECT seq, body, hash FROM {self._table} ORDER BY seq"),  # noqa: S608
            start=1,
        ):
            if (
                seq != number
                or not isinstance(body, str)
                or link(previous, body.encode()) != stored
            ):
                raise UserActionError(
                    "CHAIN_BROKEN",
                    f"Something altered the {self._table} record at entry {number}. AegisAI stays"
                    " off.",
                    "Run aegis erase to start again, or restore the file from a backup.",
                )
            texts.append(body.encode())
            previous = stored
        return texts


def link(previous: str, body: bytes) -> str:
    """Return the hash of a row with `body` after a row with hash `previous`."""
    return hashlib.sha256(bytes.fromhex(previous) + body).hexdigest()
