"""The local training rows: feature vectors and labels, never the files themselves."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from agent.errors import UserActionError
from agent.store.database import Database, damaged
from agent.store.shapes import record

_ROW = struct.Struct("<29Q")
MAX_ROWS = 200_000
"""46 MB of features. More rows would teach this model nothing and cost memory in each training."""


@dataclass(frozen=True)
class Sample:
    id: int
    label: int
    """0 benign, 1 malicious."""
    source: str
    """The file's name without its folders, or the name of the imported table."""
    added_at: int


@dataclass(frozen=True)
class Counts:
    benign: int
    malicious: int

    @property
    def total(self) -> int:
        return self.benign + self.malicious


class Samples:
    """The sample table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Iterable[tuple[Sequence[int], int, str]], now: int) -> tuple[int, int]:
        """Store (features, label, source) rows, all or none.

        Returns how many were new and how many were there already. Raises UserActionError
        SAMPLES_FULL.
        """
        added = known = 0
        with self._database.transaction():
            before = self.counts().total
            for features, label, source in rows:
                packed = _ROW.pack(*features)
                new = self._database.execute(
                    "INSERT OR IGNORE INTO sample (features, label, source, added_at) VALUES (?, ?,"
                    " ?, ?)",
                    packed,
                    label,
                    source,
                    now,
                )
                added, known = (added + 1, known) if new else (added, known + 1)
                if before + added > MAX_ROWS:
                    raise UserActionError(
                        "SAMPLES_FULL",
                        f"AegisAI keeps at most {MAX_ROWS} training rows. Nothing was added.",
                        "Run aegis samples clear first.",
                    )
        return added, known

    def page(self, offset: int, limit: int) -> list[Sample]:
        rows = self._database.rows(
            "SELECT id, label, source, added_at FROM sample ORDER BY id LIMIT ? OFFSET ?",
            limit,
            offset,
        )
        names = [field.name for field in fields(Sample)]
        return [record(Sample, dict(zip(names, row, strict=True)), "sample") for row in rows]

    def counts(self) -> Counts:
        by_label: dict[int, int] = dict(
            self._database.rows("SELECT label, count(*) FROM sample GROUP BY label")
        )
        return Counts(by_label.get(0, 0), by_label.get(1, 0))

    def training_table(self) -> tuple[bytes, bytes]:
        """Return all rows (29 little-endian u64 each) and their labels (one byte each)."""
        rows = self._database.rows("SELECT features, label FROM sample ORDER BY id")
        for row in rows:
            _check(*row)
        return b"".join(row[0] for row in rows), bytes(row[1] for row in rows)

    def everything(self) -> list[dict[str, object]]:
        """Return each row with its features (29 integers), for the export."""
        rows = self._database.rows(
            "SELECT id, features, label, source, added_at FROM sample ORDER BY id"
        )
        for row in rows:
            _check(row[1], row[2])
        return [
            {
                "id": number,
                "features": _ROW.unpack(packed),
                "label": label,
                "source": source,
                "added_at": at,
            }
            for number, packed, label, source, at in rows
        ]

    def clear(self) -> int:
        """Remove all rows; returns their number."""
        with self._database.transaction():
            return self._database.execute("DELETE FROM sample")


def _check(features: object, label: object) -> None:
    """Raise UserActionError STORE_DAMAGED unless the row can train a model."""
    if not isinstance(features, bytes) or len(features) != _ROW.size or label not in (0, 1):
        raise damaged("sample")
