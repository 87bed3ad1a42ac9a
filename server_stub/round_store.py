"""What the database holds of rounds of secure aggregation: their messages in order while they last. Part of `store`: its engine, its rules.

A masked input's body is here as it came, masked. All messages of a round go when it ends, in the same transaction (`store`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select, update

from agent.errors import PeerFault
from agent.protocol.messages import RoundConfig
from server_stub.database import reading
from server_stub.live_round import Entry
from server_stub.rounds import State
from server_stub.store import HELD_UPDATE, Spent, insert_round, spend
from server_stub.tables import DEVICES, MESSAGES

CHUNK = 500

# As text, because every message runs them: SQLAlchemy takes a tenth of the time.
_MAY_TAKE_PART = """SELECT (SELECT state FROM rounds WHERE round_id = ?),
    EXISTS (SELECT 1 FROM devices WHERE device_id = ? AND revoked_at IS NULL)"""
_ADD_MESSAGE = "INSERT INTO messages (round_id, kind, at, device_id, group_number, body) VALUES (?, ?, ?, ?, ?, ?)"
_ADD_RECEIPT = "INSERT INTO updates (round_id, device_id, body_sha256, bytes, received_at, receipt) VALUES (?, ?, ?, ?, ?, ?)"


class RoundWork:
    """One transaction."""

    def __init__(self, database: Connection) -> None:
        self._database = database

    def spend(self, spent: Spent) -> None:
        """Raises PeerFault NONCE_SPENT."""
        spend(self._database, spent)

    def open(self, config: RoundConfig, expected: int) -> None:
        """Open a round for so many devices. Raises IntegrityError where there is one of this number."""
        insert_round(self._database, config, expected)

    def demand(self, round_id: int, device_id: str) -> None:
        """Raise PeerFault ROUND_CLOSED or REVOKED unless the round is open and the device may take part."""
        state, is_good = self._database.exec_driver_sql(_MAY_TAKE_PART, (round_id, device_id)).one()
        if state != State.OPEN:
            raise PeerFault("ROUND_CLOSED", "The round is not open.", "Take part in a later one.")
        if not is_good:
            raise PeerFault("REVOKED", "The device was revoked.", "Ask the operator.")

    def add(self, round_id: int, entries: Iterable[Entry]) -> None:
        """Keep what happened."""
        for entry in entries:
            values = (round_id, entry.kind, entry.at, entry.device_id, entry.group, entry.body)
            self._database.exec_driver_sql(_ADD_MESSAGE, values)

    def take_back(self, round_id: int, device_id: str) -> None:
        """Drop the masked input of a device that left before the set of inputs was fixed."""
        mine = MESSAGES.c.round_id == round_id, MESSAGES.c.device_id == device_id, MESSAGES.c.kind == "masked"
        self._database.execute(update(MESSAGES).where(*mine).values(body=None))

    def receipt(self, round_id: int, device_id: str) -> tuple[str, str] | None:
        """SHA-256 and receipt of the update that a device has sent for a round."""
        row = self._database.exec_driver_sql(HELD_UPDATE, (round_id, device_id)).one_or_none()
        return None if row is None else (row.body_sha256, row.receipt)

    def add_receipt(self, round_id: int, device_id: str, *, body_sha256: str, size: int, receipt: str, now: int) -> None:
        self._database.exec_driver_sql(_ADD_RECEIPT, (round_id, device_id, body_sha256, size, now, receipt))


class RoundStore:
    """The messages of rounds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def work(self) -> Iterator[RoundWork]:
        """A transaction: all of it or nothing."""
        with self._engine.begin() as database:
            yield RoundWork(database)

    def entries(self, round_id: int) -> list[Entry]:
        """What happened in a round, in order; empty once it has ended."""
        columns = (MESSAGES.c.kind, MESSAGES.c.at, MESSAGES.c.device_id, MESSAGES.c.group_number, MESSAGES.c.body)
        with reading(self._engine) as database:
            return [
                Entry(*row) for row in database.execute(select(*columns).where(MESSAGES.c.round_id == round_id).order_by(MESSAGES.c.number))
            ]

    def gone(self, devices: Iterable[str]) -> list[str]:
        """Who of these was revoked or erased, in order."""
        asked = sorted(devices)
        good: set[str] = set()
        with reading(self._engine) as database:
            for start in range(0, len(asked), CHUNK):
                wanted = DEVICES.c.revoked_at.is_(None), DEVICES.c.device_id.in_(asked[start : start + CHUNK])
                good.update(database.execute(select(DEVICES.c.device_id).where(*wanted)).scalars())
        return [device_id for device_id in asked if device_id not in good]
