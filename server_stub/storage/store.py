"""The aggregator's database, with one collaborator for each job. All SQL is in this package.

1. Every method is one transaction.
2. All of it runs in one thread at a time (`serial_executor`). Only the look-ups of `devices` may
   run beside it, in one other thread.
"""

from typing import Any

from sqlalchemy import func, select

from server_stub.rounds.lifecycle import State
from server_stub.storage.database import RawConnection, open_database, read_transaction
from server_stub.storage.devices import DeviceStore
from server_stub.storage.ledger_heads import LedgerHeadStore
from server_stub.storage.memberships import MembershipStore
from server_stub.storage.models import ModelStore
from server_stub.storage.proofs import ProofStore
from server_stub.storage.round_events import RoundEventStore
from server_stub.storage.rounds import RoundStore
from server_stub.storage.tables import DEVICES, LEDGER_HEADS, ROUNDS, UPDATES
from server_stub.storage.updates import UpdateStore


class Store:
    """Opened on a database URL."""

    def __init__(self, url: str) -> None:
        self._engine = open_database(url, "aggregator")
        # The look-ups of every request wait for a writer of another process; the rest fails at
        # once, and the executor tries it again beside the event loop.
        self._lookup = RawConnection(self._engine, waits=True)
        self._raw = RawConnection(self._engine, waits=False)
        self.devices = DeviceStore(self._engine, self._lookup)
        self.ledger_heads = LedgerHeadStore(self._raw)
        self.updates = UpdateStore(self._engine, self._raw)
        self.rounds = RoundStore(self._engine, self._raw)
        self.round_events = RoundEventStore(self._engine, self._raw)
        self.proofs = ProofStore(self._engine, self._raw)
        self.memberships = MembershipStore(self._engine)
        self.models = ModelStore(self._engine)

    def close(self) -> None:
        self._lookup.close()
        self._raw.close()
        self._engine.dispose()

    def copies(self) -> dict[str, int]:
        """How many devices have copies that were refused, and how often one was."""
        times = func.coalesce(func.sum(LEDGER_HEADS.c.copies_refused), 0)
        refused = select(func.count(), times).where(LEDGER_HEADS.c.copies_refused > 0)
        with read_transaction(self._engine) as database:
            devices, total = database.execute(refused).one()
        return {"devices_copied": int(devices), "copies_refused": int(total)}

    def counts(self) -> dict[str, int]:
        """Figures for the statistics."""
        devices = select(func.count()).select_from(DEVICES)
        by_state = select(ROUNDS.c.state, func.count()).group_by(ROUNDS.c.state)
        with read_transaction(self._engine) as database:

            def number(query: Any) -> int:
                return int(database.execute(query).scalar_one())

            rounds: dict[str, int] = {state: count for state, count in database.execute(by_state)}
            return {
                "devices": number(devices.where(DEVICES.c.revoked_at.is_(None))),
                "devices_revoked": number(devices.where(DEVICES.c.revoked_at.is_not(None))),
                "rounds_done": rounds.get(State.DONE, 0),
                "rounds_abandoned": rounds.get(State.ABANDONED, 0),
                "rounds_rejected": rounds.get(State.REJECTED, 0),
                "updates": number(select(func.count()).select_from(UPDATES)),
                "update_bytes": number(select(func.coalesce(func.sum(UPDATES.c.bytes), 0))),
            }
