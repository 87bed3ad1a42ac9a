"""Stores the newest head of each device's ledger (`server_stub.rounds.ledger_heads`)."""

from sqlite3 import Cursor

from agent.protocol.ledger_heads import HeadStep, ShownHeads
from server_stub.rounds import ledger_heads
from server_stub.rounds.ledger_heads import KnownHead
from server_stub.storage.database import RawConnection

_FIND = "SELECT count, head, session, reserved_until FROM ledger_heads WHERE device_id = ?"
_PUT = (
    "INSERT INTO ledger_heads (device_id, count, head, session, reserved_until)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (device_id) DO UPDATE SET count = excluded.count,"
    " head = excluded.head, session = excluded.session, reserved_until = excluded.reserved_until"
)
_NOTE_COPY = (
    "UPDATE ledger_heads SET copies_refused = copies_refused + 1, copy_refused_at = ?"
    " WHERE device_id = ?"
)


class LedgerHeadStore:
    """Each method is one transaction."""

    def __init__(self, raw: RawConnection) -> None:
        self._raw = raw

    def show(
        self, device_id: str, shown: ShownHeads | None, session: str, now: int, lease_s: int
    ) -> None:
        """Take the heads that a device shows; `lease_s` as in `ledger_heads.show`.

        Raises PeerError LEDGER_FORKED, LEDGER_BEHIND, LEDGER_UNSHOWN, BusyError LEDGER_RESERVED.
        """
        with self._raw.transaction() as sql:
            known = _known(sql, device_id)
            if shown is None:
                ledger_heads.require_shown(known)
                return
            head = ledger_heads.show(known, shown, session, now, lease_s)
            if head != known:
                _put(sql, device_id, head)

    def note_copy(self, device_id: str, now: int) -> None:
        """Note that a copy of the device was refused."""
        with self._raw.transaction() as sql:
            sql.execute(_NOTE_COPY, (now, device_id))


def advance_head(sql: Cursor, device_id: str, step: HeadStep | None) -> None:
    """Move a device's head with its update, within a transaction.

    Raises PeerError LEDGER_FORKED, LEDGER_UNSHOWN.
    """
    head = ledger_heads.advance(_known(sql, device_id), step)
    if head is not None:
        _put(sql, device_id, head)


def _known(sql: Cursor, device_id: str) -> KnownHead | None:
    row = sql.execute(_FIND, (device_id,)).fetchone()
    return None if row is None else KnownHead(*row)


def _put(sql: Cursor, device_id: str, head: KnownHead) -> None:
    sql.execute(_PUT, (device_id, head.count, head.head, head.session, head.reserved_until))
