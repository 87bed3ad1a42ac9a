"""What the database holds of rounds of secure aggregation: their messages in order while they last.
Part of `store`: its engine, its rules.

A masked input's body is here as it came, masked. All messages of a round go when it ends, in the
same transaction (`store`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from sqlite3 import Cursor

from sqlalchemy import select

from agent.errors import PeerError
from agent.protocol.messages import RoundConfig
from server_stub.rounds.event_log import RoundEvent
from server_stub.rounds.lifecycle import State
from server_stub.storage.database import reading
from server_stub.storage.store import ADD_UPDATE, IS_GOOD, Store, insert_round
from server_stub.storage.tables import DEVICES, MESSAGES

CHUNK = 500

_MAY_TAKE_PART = f"SELECT (SELECT state FROM rounds WHERE round_id = ?), {IS_GOOD}"  # noqa: S608
_ADD_MESSAGE = (
    "INSERT INTO messages (round_id, kind, at, device_id, group_number, body) VALUES (?, ?, ?, ?,"
    " ?, ?)"
)
_TAKE_BACK = (
    "UPDATE messages SET body = NULL WHERE round_id = ? AND device_id = ? AND kind = 'masked'"
)


class RoundWork:
    """One transaction."""

    def __init__(self, sql: Cursor) -> None:
        self._sql = sql

    def open(self, config: RoundConfig, expected: int) -> None:
        """Open a round for so many devices.

        Raises sqlite3.IntegrityError where there is one of this number.
        """
        insert_round(self._sql, config, expected)

    def demand(self, round_id: int, device_id: str) -> None:
        """Raise PeerError ROUND_CLOSED or REVOKED unless the round is open and the device may take
        part.
        """
        state, is_good = self._sql.execute(_MAY_TAKE_PART, (round_id, device_id)).fetchone()
        if state != State.OPEN:
            raise PeerError("ROUND_CLOSED", "The round is not open.", "Take part in a later one.")
        if not is_good:
            raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")

    def add(self, round_id: int, entries: Iterable[RoundEvent]) -> None:
        """Keep what happened."""
        for entry in entries:
            values = (round_id, entry.kind, entry.at, entry.device_id, entry.group, entry.body)
            self._sql.execute(_ADD_MESSAGE, values)

    def take_back(self, round_id: int, device_id: str) -> None:
        """Drop the masked input of a device that left before the set of inputs was fixed."""
        self._sql.execute(_TAKE_BACK, (round_id, device_id))

    def add_receipt(
        self, round_id: int, device_id: str, *, body_sha256: str, size: int, receipt: str, now: int
    ) -> None:
        self._sql.execute(ADD_UPDATE, (round_id, device_id, body_sha256, size, now, receipt, None))


class RoundStore:
    """The messages of rounds."""

    def __init__(self, store: Store) -> None:
        self._direct, self._engine = store.direct, store.engine

    @contextmanager
    def work(self) -> Iterator[RoundWork]:
        """A transaction: all of it or nothing."""
        with self._direct.writing() as sql:
            yield RoundWork(sql)

    def entries(self, round_id: int) -> list[RoundEvent]:
        """What happened in a round, in order; empty once it has ended."""
        columns = (
            MESSAGES.c.kind,
            MESSAGES.c.at,
            MESSAGES.c.device_id,
            MESSAGES.c.group_number,
            MESSAGES.c.body,
        )
        with reading(self._engine) as database:
            return [
                RoundEvent(*row)
                for row in database.execute(
                    select(*columns)
                    .where(MESSAGES.c.round_id == round_id)
                    .order_by(MESSAGES.c.number)
                )
            ]

    def gone(self, devices: Iterable[str]) -> list[str]:
        """Who of these was revoked or erased, in order."""
        asked = sorted(devices)
        good: set[str] = set()
        with reading(self._engine) as database:
            for start in range(0, len(asked), CHUNK):
                wanted = (
                    DEVICES.c.revoked_at.is_(None),
                    DEVICES.c.device_id.in_(asked[start : start + CHUNK]),
                )
                good.update(database.execute(select(DEVICES.c.device_id).where(*wanted)).scalars())
        return [device_id for device_id in asked if device_id not in good]
