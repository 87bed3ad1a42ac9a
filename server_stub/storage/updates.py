"""Stores the updates of rounds and their receipts."""

from collections.abc import Iterator

from sqlalchemy import Connection, Engine, delete, func, select, update

from agent.errors import PeerError
from agent.protocol.ledger_heads import HeadStep
from server_stub.rounds.lifecycle import State
from server_stub.storage.database import RawConnection, read_transaction
from server_stub.storage.ledger_heads import advance_head
from server_stub.storage.tables import MESSAGES, ROUNDS, UPDATES

BATCH = 64
"""How many updates are in memory at a time while a round is combined."""

# As text for RawConnection; `round_events` uses the public ones.
IS_ELIGIBLE = "EXISTS (SELECT 1 FROM devices WHERE device_id = ? AND revoked_at IS NULL)"
ADD_UPDATE = (
    "INSERT INTO updates (round_id, device_id, body_sha256, bytes, received_at, receipt, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_ROOM = f"""SELECT (SELECT target - (SELECT COUNT(*) FROM updates u WHERE u.round_id = r.round_id)
    FROM rounds r WHERE round_id = ? AND state = ?
    AND json_extract(config, '$.closes_at') > ?), {IS_ELIGIBLE}"""  # noqa: S608  (constants)
_RECEIPT = "SELECT body_sha256, receipt FROM updates WHERE round_id = ? AND device_id = ?"


class UpdateStore:
    """Each method is one transaction."""

    def __init__(self, engine: Engine, raw: RawConnection) -> None:
        self._engine, self._raw = engine, raw

    def receipt(self, round_id: int, device_id: str) -> tuple[str, str] | None:
        """SHA-256 and receipt of the update that a device sent for a round."""
        row = self._raw.cursor().execute(_RECEIPT, (round_id, device_id)).fetchone()
        return None if row is None else (row[0], row[1])

    def add(
        self,
        device_id: str,
        round_id: int,
        body: bytes,
        sha256: str,
        receipt: str,
        now: int,
        step: HeadStep | None = None,
    ) -> bool:
        """Store a device's only update for a round, and move the head of its ledger. Says whether
        the round is now full.

        Raises PeerError ROUND_CLOSED, REVOKED, LEDGER_FORKED, LEDGER_UNSHOWN.
        """
        with self._raw.transaction() as sql:
            room, is_eligible = sql.execute(
                _ROOM, (round_id, State.OPEN, now, device_id)
            ).fetchone()
            if room is None or room <= 0:
                raise PeerError(
                    "ROUND_CLOSED", "The round is not open.", "Take part in a later one."
                )
            if not is_eligible:
                raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")
            advance_head(sql, device_id, step)
            sql.execute(ADD_UPDATE, (round_id, device_id, sha256, len(body), now, receipt, body))
            return bool(room == 1)

    def bodies(self, round_id: int) -> Iterator[bytes]:
        """The updates of a round that is being combined, read in batches."""
        query = (
            select(UPDATES.c.body)
            .where(UPDATES.c.round_id == round_id, UPDATES.c.body.is_not(None))
            .order_by(UPDATES.c.device_id)  # a driver that starts again combines the same
        )
        with read_transaction(self._engine) as database:
            yield from database.execute(query.execution_options(yield_per=BATCH)).scalars()


def count_updates(database: Connection, round_id: int) -> int:
    """How many updates a round has."""
    query = select(func.count()).select_from(UPDATES).where(UPDATES.c.round_id == round_id)
    return int(database.execute(query).scalar_one())


def delete_open_update(database: Connection, device_id: str) -> None:
    """Delete a device's update from the round that is open."""
    open_rounds = select(ROUNDS.c.round_id).where(ROUNDS.c.state == State.OPEN)
    database.execute(
        delete(UPDATES).where(UPDATES.c.device_id == device_id, UPDATES.c.round_id.in_(open_rounds))
    )


def delete_content(database: Connection, round_id: int) -> None:
    """Delete what a round's devices sent; their receipts stay.

    An update without a receipt belongs to an erased device and goes as a whole.
    """
    of_round = UPDATES.c.round_id == round_id
    database.execute(delete(UPDATES).where(of_round, UPDATES.c.receipt == ""))
    database.execute(update(UPDATES).where(of_round).values(body=None))
    database.execute(delete(MESSAGES).where(MESSAGES.c.round_id == round_id))
