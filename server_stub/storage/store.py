"""What the aggregator keeps: devices, rounds, updates and models. All of its SQL is here; each
method is one transaction.

Call from one thread; `holder` and `keys_of` may be called from one other.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from sqlite3 import Cursor
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row, and_, delete, func, insert, select, update

from agent.errors import PeerError
from agent.protocol.messages import RoundConfig
from server_stub.rounds.lifecycle import Event, State, after, due
from server_stub.storage.database import Direct, open_database, reading
from server_stub.storage.tables import CERTIFICATES, DEVICES, MESSAGES, MODELS, ROUNDS, UPDATES

KEPT_KEYS_S = 90 * 24 * 3600
"""Keys of expired certificates stay so long: their devices may renew."""


@dataclass(frozen=True)
class RegisteredCertificate:
    """Whose certificate it is."""

    device_id: str
    public_key: bytes
    """DER."""
    not_after: int
    revoked: bool


@dataclass(frozen=True)
class Certificate:
    """What is kept of a certificate."""

    fingerprint: str
    public_key: bytes
    not_before: int
    not_after: int


@dataclass(frozen=True)
class Round:
    """A round as it stands."""

    round_id: int
    state: State
    config: RoundConfig
    target: int
    updates: int
    closed_at: int | None
    model_version: int | None
    note: str
    record: dict[str, Any] = field(default_factory=dict)
    """What came of its groups; empty in local mode and before the round has ended."""


@dataclass(frozen=True)
class Model:
    """A published model."""

    version: int
    sha256: str
    published_at: int
    demonstration: int
    origin: str
    content: bytes


class Store:
    """Opened on a database URL."""

    def __init__(self, url: str) -> None:
        self._engine: Engine = open_database(url, "aggregator")
        self._lookup = Direct(self._engine, patient=True)
        self.direct = Direct(self._engine, patient=False)
        """For `round_store`, which holds the rest of the SQL."""

    @property
    def engine(self) -> Engine:
        """For `round_store`, which holds the rest of the SQL."""
        return self._engine

    def close(self) -> None:
        self._lookup.close()
        self.direct.close()
        self._engine.dispose()

    # Devices

    def holder(self, fingerprint: str) -> RegisteredCertificate | None:
        """Whose certificate has this SHA-256."""
        row = self._lookup.cursor().execute(_HOLDER, (fingerprint,)).fetchone()
        return (
            None
            if row is None
            else RegisteredCertificate(row[0], row[1], row[2], row[3] is not None)
        )

    def keys_of(self, device_id: str) -> list[RegisteredCertificate]:
        """A device's keys, newest first."""
        rows = self._lookup.cursor().execute(_KEYS, (device_id,)).fetchall()
        return [RegisteredCertificate(row[0], row[1], row[2], row[3] is not None) for row in rows]

    def add_device(
        self, device_id: str, certificate: Certificate, erase_hash: str, now: int
    ) -> None:
        """Take in a device; doing it again changes nothing."""
        with self._engine.begin() as database:
            if (
                database.execute(
                    select(DEVICES.c.device_id).where(DEVICES.c.device_id == device_id)
                ).first()
                is None
            ):
                database.execute(
                    insert(DEVICES).values(
                        device_id=device_id, enrolled_at=now, erase_hash=erase_hash
                    )
                )
            _add_certificate(database, device_id, certificate)

    def add_certificate(self, device_id: str, certificate: Certificate, now: int) -> None:
        """Take in a device's next certificate; the earlier ones stay good until they expire."""
        with self._engine.begin() as database:
            _add_certificate(database, device_id, certificate)
            database.execute(
                delete(CERTIFICATES).where(CERTIFICATES.c.not_after < now - KEPT_KEYS_S)
            )

    def revoke(self, device_id: str, now: int) -> bool:
        """Refuse a device from now on, and drop its update from a round that is open.

        Says whether it was known.
        """
        with self._engine.begin() as database:
            known = and_(DEVICES.c.device_id == device_id)
            database.execute(
                update(DEVICES).where(known, DEVICES.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            _drop_open_update(database, device_id)
            return database.execute(select(DEVICES.c.device_id).where(known)).first() is not None

    def erase_hash(self, device_id: str) -> str | None:
        """The hash of a device's erase secret."""
        with reading(self._engine) as database:
            return database.execute(
                select(DEVICES.c.erase_hash).where(DEVICES.c.device_id == device_id)
            ).scalar_one_or_none()

    def erase(self, device_id: str) -> None:
        """Forget a device.

        An update whose round is being combined stays in the sum, without a name.
        """
        with self._engine.begin() as database:
            combining = select(ROUNDS.c.round_id).where(ROUNDS.c.state == State.COMBINING)
            mine = UPDATES.c.device_id == device_id
            nameless = {"device_id": f"erased:{uuid4()}", "receipt": ""}
            database.execute(
                update(UPDATES).where(mine, UPDATES.c.round_id.in_(combining)).values(**nameless)
            )
            database.execute(delete(UPDATES).where(mine))
            database.execute(delete(DEVICES).where(DEVICES.c.device_id == device_id))

    def device(self, device_id: str) -> dict[str, Any]:
        """All that is held about a device."""
        with reading(self._engine) as database:
            row = database.execute(select(DEVICES).where(DEVICES.c.device_id == device_id)).one()
            certificates = database.execute(
                select(CERTIFICATES).where(CERTIFICATES.c.device_id == device_id)
            ).all()
            mine = database.execute(
                select(UPDATES).where(UPDATES.c.device_id == device_id).order_by(UPDATES.c.round_id)
            ).all()
            columns = (
                MESSAGES.c.round_id,
                MESSAGES.c.kind,
                MESSAGES.c.at,
                func.length(MESSAGES.c.body).label("bytes"),
            )
            said = database.execute(
                select(*columns).where(MESSAGES.c.device_id == device_id).order_by(MESSAGES.c.at)
            ).all()
            masked = {
                one.round_id for one in said if one.kind == "masked" and one.bytes is not None
            }
        return {
            "device_id": device_id,
            "enrolled_at": row.enrolled_at,
            "revoked_at": row.revoked_at,
            "erase_secret": "as a hash only",
            "certificates": [
                {
                    "sha256": held.fingerprint,
                    "not_before": held.not_before,
                    "not_after": held.not_after,
                }
                for held in certificates
            ],
            "updates": [
                {
                    "round_id": held.round_id,
                    "body_sha256": held.body_sha256,
                    "bytes": held.bytes,
                    "received_at": held.received_at,
                    "content_held": held.body is not None or held.round_id in masked,
                }
                for held in mine
            ],
            "messages": [one._asdict() for one in said],
        }

    def devices(self) -> list[dict[str, Any]]:
        """The inventory."""
        ends = select(
            CERTIFICATES.c.device_id, func.max(CERTIFICATES.c.not_after).label("not_after")
        ).group_by(CERTIFICATES.c.device_id)
        sent = select(UPDATES.c.device_id, func.count().label("updates")).group_by(
            UPDATES.c.device_id
        )
        ends_of, sent_of = ends.subquery(), sent.subquery()
        wanted = (
            select(
                DEVICES.c.device_id,
                DEVICES.c.enrolled_at,
                DEVICES.c.revoked_at,
                ends_of.c.not_after,
                sent_of.c.updates,
            )
            .outerjoin(ends_of, ends_of.c.device_id == DEVICES.c.device_id)
            .outerjoin(sent_of, sent_of.c.device_id == DEVICES.c.device_id)
            .order_by(DEVICES.c.enrolled_at, DEVICES.c.device_id)
        )
        with reading(self._engine) as database:
            rows = database.execute(wanted).all()
        return [
            {
                "device_id": row.device_id,
                "enrolled_at": row.enrolled_at,
                "revoked": row.revoked_at is not None,
                "certificate_until": row.not_after,
                "updates": row.updates or 0,
            }
            for row in rows
        ]

    # Rounds

    def newest_round(self) -> Round | None:
        with reading(self._engine) as database:
            row = database.execute(
                select(ROUNDS).order_by(ROUNDS.c.round_id.desc()).limit(1)
            ).one_or_none()
            return None if row is None else _round(database, row)

    def round(self, round_id: int) -> Round | None:
        with reading(self._engine) as database:
            row = database.execute(
                select(ROUNDS).where(ROUNDS.c.round_id == round_id)
            ).one_or_none()
            return None if row is None else _round(database, row)

    def rounds(self) -> list[Round]:
        with reading(self._engine) as database:
            return [
                _round(database, row)
                for row in database.execute(select(ROUNDS).order_by(ROUNDS.c.round_id)).all()
            ]

    def open_round(self, config: RoundConfig, target: int) -> None:
        """Open a round. Raises sqlite3.IntegrityError where there is one of this number."""
        with self.direct.writing() as sql:
            insert_round(sql, config, target)

    def receipt(self, round_id: int, device_id: str) -> tuple[str, str] | None:
        """SHA-256 and receipt of the update that a device has sent for a round."""
        row = self.direct.cursor().execute(_RECEIPT, (round_id, device_id)).fetchone()
        return None if row is None else (row[0], row[1])

    def accept(
        self, device_id: str, round_id: int, body: bytes, sha256: str, receipt: str, now: int
    ) -> bool:
        """Store a device's only update for a round before anyone is told that it is here. Says
        whether the round is now full.

        Raises PeerError ROUND_CLOSED, REVOKED.
        """
        with self.direct.writing() as sql:
            there, is_good = sql.execute(_ROOM, (round_id, State.OPEN, now, device_id)).fetchone()
            if there is None or there <= 0:
                raise PeerError(
                    "ROUND_CLOSED", "The round is not open.", "Take part in a later one."
                )
            if not is_good:
                raise PeerError("REVOKED", "The device was revoked.", "Ask the operator.")
            sql.execute(ADD_UPDATE, (round_id, device_id, sha256, len(body), now, receipt, body))
            return bool(there == 1)

    def close_if_due(self, round_id: int, minimum: int, now: int) -> State:
        """Close an open round whose time is over. Returns its state."""
        with self._engine.begin() as database:
            row = database.execute(select(ROUNDS).where(ROUNDS.c.round_id == round_id)).one()
            if row.state != State.OPEN:
                return State(row.state)
            event = due(
                _count(database, round_id), row.target, minimum, _config(row).closes_at, now
            )
            return State.OPEN if event is None else _move(database, row, event, now)

    def close_groups(self, round_id: int, record: dict[str, Any], now: int) -> None:
        """The groups of a round have ended, and at least one gave a sum: the next model follows
        from what is stored.
        """
        with self._engine.begin() as database:
            row = database.execute(select(ROUNDS).where(ROUNDS.c.round_id == round_id)).one()
            if row.state == State.OPEN:
                _move(database, row, Event.TARGET, now)
                _keep_record(database, round_id, record)

    def abandon(
        self, round_id: int, event: Event, now: int, note: str, record: dict[str, Any] | None = None
    ) -> None:
        """End a round without a model, if it has not ended yet."""
        with self._engine.begin() as database:
            row = database.execute(select(ROUNDS).where(ROUNDS.c.round_id == round_id)).one()
            if row.state in (State.OPEN, State.COMBINING):
                _move(database, row, event, now)
                database.execute(
                    update(ROUNDS).where(ROUNDS.c.round_id == round_id).values(note=note)
                )
                _keep_record(database, round_id, record)

    def bodies(self, round_id: int) -> Iterator[bytes]:
        """The updates of a round that is being combined."""
        with reading(self._engine) as database:
            wanted = select(UPDATES.c.body).where(
                UPDATES.c.round_id == round_id, UPDATES.c.body.is_not(None)
            )
            yield from database.execute(wanted.execution_options(yield_per=64)).scalars()

    def finish(
        self,
        round_id: int,
        count: int,
        model: Model,
        now: int,
        record: dict[str, Any] | None = None,
    ) -> None:
        """Store the model that a round made, end the round and forget the updates' content: one
        transaction.
        """
        with self._engine.begin() as database:
            row = database.execute(select(ROUNDS).where(ROUNDS.c.round_id == round_id)).one()
            _move(database, row, Event.PUBLISHED, now)
            values = {"model_version": model.version, "updates": count}
            database.execute(update(ROUNDS).where(ROUNDS.c.round_id == round_id).values(**values))
            database.execute(insert(MODELS).values(**model.__dict__))
            _keep_record(database, round_id, record)
            _forget_content(database, round_id)

    # Models

    def add_model(self, model: Model, now: int) -> None:
        """Publish a model of the operator's: a round that is open ends without one.

        Raises IntegrityError for a version that is taken.
        """
        with self._engine.begin() as database:
            for row in database.execute(select(ROUNDS).where(ROUNDS.c.state == State.OPEN)).all():
                _move(database, row, Event.REPLACED, now)
                database.execute(
                    update(ROUNDS)
                    .where(ROUNDS.c.round_id == row.round_id)
                    .values(note="another model was published")
                )
            database.execute(insert(MODELS).values(**model.__dict__))

    def model(self, version: int | None = None) -> Model | None:
        """A model; the newest one without a version."""
        wanted = select(MODELS).order_by(MODELS.c.version.desc()).limit(1)
        if version is not None:
            wanted = wanted.where(MODELS.c.version == version)
        with reading(self._engine) as database:
            row = database.execute(wanted).one_or_none()
        return None if row is None else Model(*row)

    def model_version(self) -> int:
        """The newest version; 0 without any."""
        with reading(self._engine) as database:
            return database.execute(select(func.max(MODELS.c.version))).scalar_one() or 0

    def models(self) -> list[dict[str, Any]]:
        """The models without their content."""
        columns = (
            MODELS.c.version,
            MODELS.c.sha256,
            MODELS.c.published_at,
            MODELS.c.demonstration,
            MODELS.c.origin,
        )
        with reading(self._engine) as database:
            return [
                dict(row._mapping)
                for row in database.execute(select(*columns).order_by(MODELS.c.version)).all()
            ]

    # The rest

    def counts(self) -> dict[str, int]:
        """Figures for the statistics."""
        with reading(self._engine) as database:
            ended: dict[str, int] = {
                state: count
                for state, count in database.execute(
                    select(ROUNDS.c.state, func.count()).group_by(ROUNDS.c.state)
                )
            }
            return {
                "devices": _number(
                    database,
                    select(func.count()).select_from(DEVICES).where(DEVICES.c.revoked_at.is_(None)),
                ),
                "devices_revoked": _number(
                    database,
                    select(func.count())
                    .select_from(DEVICES)
                    .where(DEVICES.c.revoked_at.is_not(None)),
                ),
                "rounds_done": ended.get(State.DONE, 0),
                "rounds_abandoned": ended.get(State.ABANDONED, 0),
                "updates": _number(database, select(func.count()).select_from(UPDATES)),
                "update_bytes": _number(
                    database, select(func.coalesce(func.sum(UPDATES.c.bytes), 0))
                ),
            }


# As text, for `Direct`.
IS_GOOD = "EXISTS (SELECT 1 FROM devices WHERE device_id = ? AND revoked_at IS NULL)"
_ROOM = f"""SELECT (SELECT target - (SELECT COUNT(*) FROM updates u WHERE u.round_id = r.round_id)
    FROM rounds r WHERE round_id = ? AND state = ?
    AND json_extract(config, '$.closes_at') > ?), {IS_GOOD}"""  # noqa: S608
ADD_UPDATE = (
    "INSERT INTO updates (round_id, device_id, body_sha256, bytes, received_at, receipt, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_RECEIPT = "SELECT body_sha256, receipt FROM updates WHERE round_id = ? AND device_id = ?"
_HOLDER = """SELECT c.device_id, c.public_key, c.not_after, d.revoked_at
    FROM certificates c JOIN devices d ON d.device_id = c.device_id WHERE c.fingerprint = ?"""
_KEYS = """SELECT c.device_id, c.public_key, c.not_after, d.revoked_at FROM certificates c
    JOIN devices d ON d.device_id = c.device_id WHERE c.device_id = ?
    ORDER BY c.not_after DESC, c.rowid DESC LIMIT 4"""


_OPEN_ROUND = (
    "INSERT INTO rounds (round_id, state, config, config_digest, target, note) VALUES (?, ?, ?, ?,"
    " ?, '')"
)


def insert_round(sql: Cursor, config: RoundConfig, target: int) -> None:
    """Open a round within a transaction.

    Raises sqlite3.IntegrityError where there is one of this number.
    """
    sql.execute(
        _OPEN_ROUND,
        (config.round_id, State.OPEN, json.dumps(config.to_json()), config.digest, target),
    )


def _add_certificate(database: Connection, device_id: str, certificate: Certificate) -> None:
    known = select(CERTIFICATES.c.fingerprint).where(
        CERTIFICATES.c.fingerprint == certificate.fingerprint
    )
    if database.execute(known).first() is None:
        database.execute(insert(CERTIFICATES).values(device_id=device_id, **certificate.__dict__))


def _drop_open_update(database: Connection, device_id: str) -> None:
    open_rounds = select(ROUNDS.c.round_id).where(ROUNDS.c.state == State.OPEN)
    database.execute(
        delete(UPDATES).where(UPDATES.c.device_id == device_id, UPDATES.c.round_id.in_(open_rounds))
    )


def _forget_content(database: Connection, round_id: int) -> None:
    of_round = UPDATES.c.round_id == round_id
    database.execute(delete(UPDATES).where(of_round, UPDATES.c.receipt == ""))
    database.execute(update(UPDATES).where(of_round).values(body=None))
    database.execute(delete(MESSAGES).where(MESSAGES.c.round_id == round_id))


def _keep_record(database: Connection, round_id: int, record: dict[str, Any] | None) -> None:
    if record is not None:
        database.execute(
            update(ROUNDS).where(ROUNDS.c.round_id == round_id).values(record=json.dumps(record))
        )


def _move(database: Connection, row: Row[Any], event: Event, now: int) -> State:
    state = after(State(row.state), event)
    values: dict[str, Any] = {"state": state, "updates": _count(database, row.round_id)}
    if state is not State.COMBINING:
        values["closed_at"] = now
    database.execute(update(ROUNDS).where(ROUNDS.c.round_id == row.round_id).values(**values))
    if state is State.ABANDONED:
        _forget_content(database, row.round_id)
    return state


def _count(database: Connection, round_id: int) -> int:
    return _number(
        database, select(func.count()).select_from(UPDATES).where(UPDATES.c.round_id == round_id)
    )


def _number(database: Connection, wanted: Any) -> int:
    return int(database.execute(wanted).scalar_one())


def _config(row: Row[Any]) -> RoundConfig:
    return RoundConfig.from_json(json.loads(row.config))


def _round(database: Connection, row: Row[Any]) -> Round:
    updates = (
        row.updates
        if row.state in (State.DONE, State.ABANDONED)
        else _count(database, row.round_id)
    )
    return Round(
        row.round_id,
        State(row.state),
        _config(row),
        row.target,
        updates or 0,
        row.closed_at,
        row.model_version,
        row.note,
        json.loads(row.record or "{}"),
    )
