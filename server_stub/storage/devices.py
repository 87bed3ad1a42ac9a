"""Stores devices and their certificates."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from server_stub.rounds.lifecycle import State
from server_stub.storage.database import RawConnection, read_transaction
from server_stub.storage.proofs import forget_witness
from server_stub.storage.records import CertificateRecord, RegisteredCertificate
from server_stub.storage.rounds import rename_in_records
from server_stub.storage.tables import (
    CERTIFICATES,
    DEVICES,
    LEDGER_HEADS,
    MEMBERSHIPS,
    MESSAGES,
    PROOFS,
    ROUNDS,
    UPDATES,
)
from server_stub.storage.updates import delete_open_update

KEEP_EXPIRED_S = 90 * 24 * 3600
"""How long a key outlives its certificate: its device may still renew."""
MAX_KEYS = 4
"""How many keys of a device are tried for a signature."""

# As text for RawConnection: every request runs one of these.
_BY_CERTIFICATE = """SELECT c.device_id, c.public_key, c.not_after, d.revoked_at
    FROM certificates c JOIN devices d ON d.device_id = c.device_id WHERE c.fingerprint = ?"""
_KEYS = f"""SELECT c.device_id, c.public_key, c.not_after, d.revoked_at FROM certificates c
    JOIN devices d ON d.device_id = c.device_id WHERE c.device_id = ?
    ORDER BY c.not_after DESC, c.rowid DESC LIMIT {MAX_KEYS}"""  # noqa: S608  (a constant)


class DeviceStore:
    """Each method is one transaction. `by_certificate` and `keys` may run in a second thread."""

    def __init__(self, engine: Engine, lookup: RawConnection) -> None:
        self._engine, self._lookup = engine, lookup

    def by_certificate(self, fingerprint: str) -> RegisteredCertificate | None:
        """Find the device whose certificate has this SHA-256."""
        row = self._lookup.cursor().execute(_BY_CERTIFICATE, (fingerprint,)).fetchone()
        return (
            None
            if row is None
            else RegisteredCertificate(row[0], row[1], row[2], row[3] is not None)
        )

    def keys(self, device_id: str) -> list[RegisteredCertificate]:
        """A device's keys, newest first."""
        rows = self._lookup.cursor().execute(_KEYS, (device_id,)).fetchall()
        return [RegisteredCertificate(row[0], row[1], row[2], row[3] is not None) for row in rows]

    def add(
        self, device_id: str, certificate: CertificateRecord, erase_hash: str, now: int
    ) -> None:
        """Add a device. Adding it again changes nothing."""
        known = select(DEVICES.c.device_id).where(DEVICES.c.device_id == device_id)
        with self._engine.begin() as database:
            if database.execute(known).first() is None:
                values = {"device_id": device_id, "enrolled_at": now, "erase_hash": erase_hash}
                database.execute(insert(DEVICES).values(**values))
            _add_certificate(database, device_id, certificate)

    def add_certificate(self, device_id: str, certificate: CertificateRecord, now: int) -> None:
        """Add a device's next certificate; earlier ones stay valid until they expire."""
        with self._engine.begin() as database:
            _add_certificate(database, device_id, certificate)
            database.execute(
                delete(CERTIFICATES).where(CERTIFICATES.c.not_after < now - KEEP_EXPIRED_S)
            )

    def revoke(self, device_id: str, now: int) -> bool:
        """Refuse a device from now on and drop its update from an open round.

        Says whether the device was known.
        """
        known = DEVICES.c.device_id == device_id
        with self._engine.begin() as database:
            database.execute(
                update(DEVICES).where(known, DEVICES.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            delete_open_update(database, device_id)
            return database.execute(select(DEVICES.c.device_id).where(known)).first() is not None

    def is_known(self, device_id: str) -> bool:
        with read_transaction(self._engine) as database:
            known = select(DEVICES.c.device_id).where(DEVICES.c.device_id == device_id)
            return database.execute(known).first() is not None

    def enrolled_at(self, device_id: str) -> int | None:
        """When a device was added, in seconds since the epoch."""
        with read_transaction(self._engine) as database:
            return database.execute(
                select(DEVICES.c.enrolled_at).where(DEVICES.c.device_id == device_id)
            ).scalar_one_or_none()

    def erase_hash(self, device_id: str) -> str | None:
        """The hash of a device's erase secret."""
        with read_transaction(self._engine) as database:
            return database.execute(
                select(DEVICES.c.erase_hash).where(DEVICES.c.device_id == device_id)
            ).scalar_one_or_none()

    def erase(self, device_id: str) -> None:
        """Delete everything about a device.

        An update whose round is being combined stays in the sum, without the device's name.
        """
        with self._engine.begin() as database:
            combining = select(ROUNDS.c.round_id).where(ROUNDS.c.state == State.COMBINING)
            mine = UPDATES.c.device_id == device_id
            pseudonym = f"erased:{uuid4()}"
            nameless = {"device_id": pseudonym, "receipt": ""}
            database.execute(
                update(UPDATES).where(mine, UPDATES.c.round_id.in_(combining)).values(**nameless)
            )
            database.execute(delete(UPDATES).where(mine))
            forget_witness(database, device_id)
            rename_in_records(database, device_id, pseudonym)
            database.execute(delete(DEVICES).where(DEVICES.c.device_id == device_id))

    def record(self, device_id: str) -> dict[str, Any]:
        """Everything the database holds about a device."""
        with read_transaction(self._engine) as database:
            row = database.execute(select(DEVICES).where(DEVICES.c.device_id == device_id)).one()
            certificates = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id)
            ).all()
            updates = database.execute(
                select(UPDATES).where(UPDATES.c.device_id == device_id).order_by(UPDATES.c.round_id)
            ).all()
            head = database.execute(
                select(LEDGER_HEADS).where(LEDGER_HEADS.c.device_id == device_id)
            ).one_or_none()
            columns = (
                MESSAGES.c.round_id,
                MESSAGES.c.kind,
                MESSAGES.c.at,
                func.length(MESSAGES.c.body).label("bytes"),
            )
            messages = database.execute(
                select(*columns).where(MESSAGES.c.device_id == device_id).order_by(MESSAGES.c.at)
            ).all()
            proofs = database.execute(
                select(PROOFS).where(PROOFS.c.device_id == device_id).order_by(PROOFS.c.round_id)
            ).all()
            groups = database.execute(
                select(MEMBERSHIPS.c.round_id, MEMBERSHIPS.c.group_number)
                .where(MEMBERSHIPS.c.device_id == device_id)
                .order_by(MEMBERSHIPS.c.round_id)
            ).all()
        # With secure aggregation an update's content is its masked input.
        masked = {
            one.round_id for one in messages if one.kind == "masked" and one.bytes is not None
        }
        return {
            "device_id": device_id,
            "enrolled_at": row.enrolled_at,
            "revoked_at": row.revoked_at,
            "erase_secret": "as a hash only",
            "certificates": [
                {
                    "sha256": one.fingerprint,
                    "not_before": one.not_before,
                    "not_after": one.not_after,
                }
                for one in certificates
            ],
            "updates": [
                {
                    "round_id": one.round_id,
                    "body_sha256": one.body_sha256,
                    "bytes": one.bytes,
                    "received_at": one.received_at,
                    "content_held": one.body is not None or one.round_id in masked,
                }
                for one in updates
            ],
            "messages": [one._asdict() for one in messages],
            "proofs": [
                {
                    "round_id": one.round_id,
                    "code": one.code,
                    "found_at": one.found_at,
                    "rounds": one.rounds,
                    "released_at": one.released_at,
                    "evidence_bytes": len(one.evidence),
                }
                for one in proofs
            ],
            "groups": [one._asdict() for one in groups],
            "ledger": None
            if head is None
            else {
                "charges": head.count,
                "head": head.head,
                "process": head.session,
                "reserved_until": head.reserved_until,
                "copies_refused": head.copies_refused,
                "copy_refused_at": head.copy_refused_at,
            },
        }

    def inventory(self) -> list[dict[str, Any]]:
        """All devices, in the order of enrolment."""
        ends = (
            select(CERTIFICATES.c.device_id, func.max(CERTIFICATES.c.not_after).label("not_after"))
            .group_by(CERTIFICATES.c.device_id)
            .subquery()
        )
        sent = (
            select(UPDATES.c.device_id, func.count().label("updates"))
            .group_by(UPDATES.c.device_id)
            .subquery()
        )
        query = (
            select(
                DEVICES.c.device_id,
                DEVICES.c.enrolled_at,
                DEVICES.c.revoked_at,
                ends.c.not_after,
                sent.c.updates,
                LEDGER_HEADS.c.copies_refused,
                LEDGER_HEADS.c.copy_refused_at,
            )
            .outerjoin(ends, ends.c.device_id == DEVICES.c.device_id)
            .outerjoin(sent, sent.c.device_id == DEVICES.c.device_id)
            .outerjoin(LEDGER_HEADS, LEDGER_HEADS.c.device_id == DEVICES.c.device_id)
            .order_by(DEVICES.c.enrolled_at, DEVICES.c.device_id)
        )
        with read_transaction(self._engine) as database:
            rows = database.execute(query).all()
        return [
            {
                "device_id": row.device_id,
                "enrolled_at": row.enrolled_at,
                "revoked": row.revoked_at is not None,
                "certificate_until": row.not_after,
                "updates": row.updates or 0,
                "copies_refused": row.copies_refused or 0,
                "copy_refused_at": row.copy_refused_at,
            }
            for row in rows
        ]


def _add_certificate(database: Connection, device_id: str, certificate: CertificateRecord) -> None:
    known = select(CERTIFICATES.c.fingerprint).where(
        CERTIFICATES.c.fingerprint == certificate.fingerprint
    )
    if database.execute(known).first() is None:
        database.execute(insert(CERTIFICATES).values(device_id=device_id, **certificate.__dict__))
