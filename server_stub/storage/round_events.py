"""Stores the events of a round of secure aggregation while the round lasts.

A masked input stays masked here. All events of a round go in the transaction that ends it
(`server_stub.storage.rounds`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from sqlite3 import Cursor

from sqlalchemy import Engine, select

from agent.errors import PeerError
from agent.protocol.ledger_heads import HeadStep
from agent.protocol.messages import RoundConfig
from server_stub.quarantine.evidence import Proof
from server_stub.rounds.event_log import RoundEvent
from server_stub.rounds.lifecycle import State
from server_stub.storage.database import RawConnection, read_transaction
from server_stub.storage.ledger_heads import advance_head
from server_stub.storage.proofs import add_proof
from server_stub.storage.rounds import insert_round
from server_stub.storage.tables import DEVICES, MESSAGES
from server_stub.storage.updates import ADD_UPDATE, IS_ELIGIBLE

CHUNK = 500
"""Devices a query: SQLite bounds the number of its parameters."""

_MAY_TAKE_PART = f"SELECT (SELECT state FROM rounds WHERE round_id = ?), {IS_ELIGIBLE}"  # noqa: S608  (constants)
_ADD_EVENT = (
    "INSERT INTO messages (round_id, kind, at, device_id, group_number, body)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_DELETE_INPUT = (
    "UPDATE messages SET body = NULL WHERE round_id = ? AND device_id = ? AND kind = 'masked'"
)


class RoundTransaction:
    """One transaction; `RoundEventStore.transaction` opens it."""

    def __init__(self, sql: Cursor) -> None:
        self._sql = sql

    def open(self, config: RoundConfig, expected: int) -> None:
        """Open a round for `expected` devices.

        Raises sqlite3.IntegrityError if its number is taken.
        """
        insert_round(self._sql, config, expected)

    def require_open(self, round_id: int, device_id: str) -> None:
        """Raise PeerError unless the round is open and the device may take part.

        Codes: ROUND_CLOSED, REVOKED.
        """
        state, is_eligible = self._sql.execute(_MAY_TAKE_PART, (round_id, device_id)).fetchone()
        if state != State.OPEN:
            raise PeerError("ROUND_CLOSED", "The round is not open.", "Take part in a later one.")
        if not is_eligible:
            raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")

    def advance_head(self, device_id: str, step: HeadStep | None) -> None:
        """Move the head of a device's ledger. Raises PeerError LEDGER_FORKED, LEDGER_UNSHOWN."""
        advance_head(self._sql, device_id, step)

    def add(self, round_id: int, events: Iterable[RoundEvent]) -> None:
        for event in events:
            values = (round_id, event.kind, event.at, event.device_id, event.group, event.body)
            self._sql.execute(_ADD_EVENT, values)

    def add_proof(self, round_id: int, proof: Proof, now: int) -> None:
        """Exclude the device at fault, unless this round has already done so."""
        add_proof(self._sql, round_id, proof, now)

    def delete_input(self, round_id: int, device_id: str) -> None:
        """Delete the masked input of a device that left before the inputs were fixed."""
        self._sql.execute(_DELETE_INPUT, (round_id, device_id))

    def add_receipt(
        self, round_id: int, device_id: str, *, body_sha256: str, size: int, receipt: str, now: int
    ) -> None:
        self._sql.execute(ADD_UPDATE, (round_id, device_id, body_sha256, size, now, receipt, None))


class RoundEventStore:
    """Appends and reads events."""

    def __init__(self, engine: Engine, raw: RawConnection) -> None:
        self._engine, self._raw = engine, raw

    @contextmanager
    def transaction(self) -> Iterator[RoundTransaction]:
        """Commit everything in the block, or nothing."""
        with self._raw.transaction() as sql:
            yield RoundTransaction(sql)

    def events(self, round_id: int) -> list[RoundEvent]:
        """The events of a round, in order. Empty once the round has ended."""
        columns = (
            MESSAGES.c.kind,
            MESSAGES.c.at,
            MESSAGES.c.device_id,
            MESSAGES.c.group_number,
            MESSAGES.c.body,
        )
        query = select(*columns).where(MESSAGES.c.round_id == round_id).order_by(MESSAGES.c.number)
        with read_transaction(self._engine) as database:
            return [RoundEvent(*row) for row in database.execute(query)]

    def ineligible(self, devices: Iterable[str]) -> list[str]:
        """Which of these devices are revoked or erased, sorted."""
        candidates = sorted(devices)
        eligible: set[str] = set()
        with read_transaction(self._engine) as database:
            for start in range(0, len(candidates), CHUNK):
                conditions = (
                    DEVICES.c.revoked_at.is_(None),
                    DEVICES.c.device_id.in_(candidates[start : start + CHUNK]),
                )
                eligible.update(
                    database.execute(select(DEVICES.c.device_id).where(*conditions)).scalars()
                )
        return [device_id for device_id in candidates if device_id not in eligible]
