"""The local training rows: feature vectors, labels and where each label is from.

Nothing else of a file is kept: no name, no folder, no checksum. A keyed digest tells whether a file
is known; without the key, which stays in this store, it matches no list of known files.
"""

import hmac
import secrets
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields

from agent.errors import UserActionError
from agent.protocol.sources import ONE_IN, SWITCHED, Source
from agent.store.database import Database, damaged
from agent.store.shapes import record
from agent.store.values import Values

_ROW = struct.Struct("<29Q")
MAX_ROWS = 200_000
"""46 MB of features. More rows would teach this model nothing and cost memory in each training."""
MAX_COLLECTED = 20_000
"""The most rows of sources that read files by themselves; the oldest give way."""
DAY_S = 24 * 3600
KEY_BYTES = 32
_KEY = "sample.key"
_AUTOMATIC = "source IN ({})".format(", ".join(f"'{source}'" for source in SWITCHED))
_TRAINED = " AND ".join(
    f"(source != '{source}' OR id % {one_in} = 0)" for source, one_in in ONE_IN.items()
)


@dataclass(frozen=True)
class NewRow:
    """A row to store."""

    features: Sequence[int]
    """29 whole numbers."""
    label: int
    """0 benign, 1 malicious."""
    source: Source
    digest: bytes | None = None
    """Of the file, from `Samples.digests`; None for rows of a table."""


@dataclass(frozen=True)
class Sample:
    id: int
    label: int
    """0 benign, 1 malicious."""
    source: str
    """Where the label is from (agent.protocol.sources)."""
    added_at: int
    """The day, as its first second in UTC."""


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
        self._values = Values(database, "value")

    def add(self, rows: Iterable[NewRow], now: int) -> tuple[int, int]:
        """Store rows, all or none; a row or file that is known stays as it is.

        Returns how many were new and how many were known. Raises UserActionError SAMPLES_FULL.
        """
        added = known = 0
        with self._database.transaction():
            before = self.counts().total
            for row in rows:
                new = self._insert(row, now)
                added, known = added + new, known + (not new)
                _check_room(before + added)
        return added, known

    def mark(self, rows: Iterable[NewRow], now: int) -> tuple[int, int]:
        """Store what a person says about files; it replaces what any source said about them.

        Returns how many files were new and how many were known. Raises UserActionError
        SAMPLES_FULL.
        """
        added = known = 0
        with self._database.transaction():
            before = self.counts().total
            for row in rows:
                was_known = self._remove_file(row.digest) > 0
                # Another file with the same header gives way to the one that the person knows.
                was_known |= self._remove_row(row) > 0
                self._insert(row, now)
                added, known = added + (not was_known), known + was_known
                _check_room(before + added)
        return added, known

    def collect(
        self, rows: Iterable[NewRow], contradicted: Iterable[bytes], now: int, most: int
    ) -> int:
        """Store what switched sources say about files; return how many rows are new.

        At most `most` rows are new on one day. The newest word about a file counts, but never
        against a person's. Files whose sources contradict each other (`contradicted`, digests) are
        removed. Raises UserActionError SAMPLES_FULL.
        """
        added = 0
        with self._database.transaction():
            left, total = most - self._collected_on(_day(now)), self.counts().total
            for digest in contradicted:
                self._remove_file(digest, unless_by_person=True)
            for row in rows:
                self._forget_other_label(row)
                if added < left and self._insert(row, now):
                    added += 1
                    _check_room(total + added)
            self._drop_oldest()
        return added

    def expire(self, now: int, keep_days: int, keep: Collection[Source]) -> int:
        """Remove rows of switched sources that are too old or not in `keep`; return their number.

        What a person added stays until the person removes it.
        """
        names = ", ".join(f"'{Source(source)}'" for source in keep) or "''"
        where = f"{_AUTOMATIC} AND (added_at <= ? OR source NOT IN ({names}))"
        limit = _day(now) - keep_days * DAY_S
        # Looked up first: most cycles remove nothing and need not write.
        if not self._database.row(f"SELECT 1 FROM sample WHERE {where}", limit):  # noqa: S608
            return 0
        with self._database.transaction():
            return self._database.execute(f"DELETE FROM sample WHERE {where}", limit)  # noqa: S608

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

    def counts_by_source(self) -> dict[str, int]:
        """Return the number of rows by the name of their source."""
        return dict(self._database.rows("SELECT source, count(*) FROM sample GROUP BY source"))

    def training_counts(self) -> Counts:
        """Return the counts of the rows to train on (see `training_table`)."""
        sql = f"SELECT label, count(*) FROM sample WHERE {_TRAINED} GROUP BY label"  # noqa: S608
        by_label: dict[int, int] = dict(self._database.rows(sql))
        return Counts(by_label.get(0, 0), by_label.get(1, 0))

    def training_table(self) -> tuple[bytes, bytes]:
        """Return the rows to train on (29 little-endian u64 each) and their labels (one byte each).

        Of a source that counts for less, only one row in so many is among them.
        """
        rows = self._database.rows(
            f"SELECT features, label FROM sample WHERE {_TRAINED} ORDER BY id"  # noqa: S608
        )
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

    def key(self) -> bytes:
        """Return the key of the digests: 32 random bytes, made when first needed."""
        stored = self._values.get(_KEY, str)
        if stored is None:
            stored = secrets.token_hex(KEY_BYTES)
            self._values.put(_KEY, stored)
        try:
            key = bytes.fromhex(stored)
        except ValueError as error:
            raise damaged(_KEY) from error
        if len(key) != KEY_BYTES:
            raise damaged(_KEY)
        return key

    def digests(self, sha256_hex: Iterable[str]) -> list[bytes]:
        """Return the keyed digest of each file with these SHA-256."""
        key = self.key()
        # The worker keys the digests of files that it finds by itself in the same way.
        return [hmac.digest(key, one.encode(), "sha256") for one in sha256_hex]

    def _insert(self, row: NewRow, now: int) -> bool:
        """Store a row unless it, or its file, is known; return whether it was new."""
        return bool(
            self._database.execute(
                "INSERT OR IGNORE INTO sample (features, label, source, added_at, digest)"
                " VALUES (?, ?, ?, ?, ?)",
                _ROW.pack(*row.features),
                row.label,
                Source(row.source).value,
                _day(now),
                row.digest,
            )
        )

    def _remove_file(self, digest: bytes | None, *, unless_by_person: bool = False) -> int:
        condition = " AND source != 'person'" if unless_by_person else ""
        return self._database.execute(f"DELETE FROM sample WHERE digest = ?{condition}", digest)  # noqa: S608

    def _remove_row(self, row: NewRow) -> int:
        packed = _ROW.pack(*row.features)
        return self._database.execute(
            "DELETE FROM sample WHERE features = ? AND label = ?", packed, row.label
        )

    def _forget_other_label(self, row: NewRow) -> None:
        """Remove what a switched source said about this file before, if it said something else."""
        self._database.execute(
            "DELETE FROM sample WHERE digest = ? AND label != ? AND source != 'person'",
            row.digest,
            row.label,
        )

    def _collected_on(self, day: int) -> int:
        sql = f"SELECT count(*) FROM sample WHERE {_AUTOMATIC} AND added_at = ?"  # noqa: S608
        row = self._database.row(sql, day)
        return int(row[0]) if row else 0

    def _drop_oldest(self) -> None:
        self._database.execute(
            f"DELETE FROM sample WHERE id IN (SELECT id FROM sample WHERE {_AUTOMATIC}"  # noqa: S608
            f" ORDER BY id DESC LIMIT -1 OFFSET {MAX_COLLECTED})"
        )


def _day(now: int) -> int:
    return now - now % DAY_S


def _check_room(total: int) -> None:
    if total > MAX_ROWS:
        raise UserActionError(
            "SAMPLES_FULL",
            f"AegisAI keeps at most {MAX_ROWS} training rows. Nothing was added.",
            "Run aegis samples clear first.",
        )


def _check(features: object, label: object) -> None:
    """Raise UserActionError STORE_DAMAGED unless the row can train a model."""
    if not isinstance(features, bytes) or len(features) != _ROW.size or label not in (0, 1):
        raise damaged("sample")
