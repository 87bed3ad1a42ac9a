"""Stores proofs of devices' faults, and the exclusions that follow from them.

A proof is deleted with its device. The evidence against another device goes when a device that it
names is erased; the exclusion stays until it ends.
"""

import json
from sqlite3 import Cursor

from sqlalchemy import Connection, Engine, select, update

from server_stub.quarantine.evidence import Evidence, Proof
from server_stub.quarantine.exclusion import Exclusion, rounds_out
from server_stub.storage.database import RawConnection, read_transaction
from server_stub.storage.tables import PROOFS

_COLUMNS = "device_id, code, round_id, found_at, rounds, released_at"
_OF_DEVICE = f"SELECT {_COLUMNS} FROM proofs WHERE device_id = ? ORDER BY round_id"  # noqa: S608  (constants)
# A device that was erased meanwhile has no row to refer to.
_ADD = """INSERT OR IGNORE INTO proofs (device_id, code, round_id, found_at, rounds, evidence)
    SELECT ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM devices WHERE device_id = ?)"""


class ProofStore:
    """Each method is one transaction."""

    def __init__(self, engine: Engine, raw: RawConnection) -> None:
        self._engine, self._raw = engine, raw

    def exclusions(self, device_id: str) -> list[Exclusion]:
        """The exclusions of a device, past ones included, oldest first."""
        return _exclusions(self._raw.cursor(), device_id)

    def all(self) -> list[Exclusion]:
        """Every exclusion, past ones included, oldest first."""
        columns = [PROOFS.c[name] for name in _COLUMNS.split(", ")]
        query = select(*columns).order_by(PROOFS.c.found_at, PROOFS.c.device_id)
        with read_transaction(self._engine) as database:
            return [Exclusion(*row) for row in database.execute(query)]

    def evidence(self, device_id: str, round_id: int) -> Evidence | None:
        """The evidence of a proof; None where it was deleted with a device that it named."""
        query = select(PROOFS.c.evidence).where(
            PROOFS.c.device_id == device_id, PROOFS.c.round_id == round_id
        )
        with read_transaction(self._engine) as database:
            stored = database.execute(query).scalar_one()
        return Evidence.from_json(json.loads(stored)) if stored else None

    def add(self, round_id: int, proof: Proof, now: int) -> None:
        """Exclude a device, unless the round already has a proof against it."""
        with self._raw.transaction() as sql:
            add_proof(sql, round_id, proof, now)

    def release(self, device_id: str, now: int) -> int:
        """End every exclusion of a device; none of them counts any more. Returns their number."""
        query = update(PROOFS).where(
            PROOFS.c.device_id == device_id, PROOFS.c.released_at.is_(None)
        )
        with self._engine.begin() as database:
            return database.execute(query.values(released_at=now)).rowcount


def add_proof(sql: Cursor, round_id: int, proof: Proof, now: int) -> None:
    """Store a proof within a transaction, unless the round already has one against its device."""
    device_id = proof.verdict.device_id
    rounds = rounds_out(_exclusions(sql, device_id), now)
    evidence = json.dumps(proof.evidence.to_json(), sort_keys=True)
    values = (device_id, proof.verdict.code, round_id, now, rounds, evidence, device_id)
    sql.execute(_ADD, values)


def forget_witness(database: Connection, device_id: str) -> None:
    """Delete the evidence that names a device, within the transaction that erases it."""
    names = PROOFS.c.evidence.contains(json.dumps(device_id), autoescape=True)
    database.execute(update(PROOFS).where(names).values(evidence=""))


def _exclusions(sql: Cursor, device_id: str) -> list[Exclusion]:
    return [Exclusion(*row) for row in sql.execute(_OF_DEVICE, (device_id,)).fetchall()]
