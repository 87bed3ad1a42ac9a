"""Stores rounds. Every change of state follows the table in `server_stub.rounds.lifecycle`."""

import json
from sqlite3 import Cursor
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from agent.protocol.messages import RoundConfig
from server_stub.rounds.lifecycle import ENDED, Event, State, after, due
from server_stub.storage.database import RawConnection, read_transaction
from server_stub.storage.memberships import Members, add_members
from server_stub.storage.records import Model, Round
from server_stub.storage.tables import MODELS, ROUNDS
from server_stub.storage.updates import count_updates, delete_content

_OPEN_ROUND = (
    "INSERT INTO rounds (round_id, state, config, config_digest, target, note)"
    " VALUES (?, ?, ?, ?, ?, '')"
)


class RoundStore:
    """Each method is one transaction."""

    def __init__(self, engine: Engine, raw: RawConnection) -> None:
        self._engine, self._raw = engine, raw

    def newest(self) -> Round | None:
        with read_transaction(self._engine) as database:
            row = database.execute(
                select(ROUNDS).order_by(ROUNDS.c.round_id.desc()).limit(1)
            ).one_or_none()
            return None if row is None else _round(database, row)

    def newest_combined(self) -> Round | None:
        """The newest round that was judged: it made a model, or was rejected."""
        combined = ROUNDS.c.state.in_((State.DONE, State.REJECTED))
        query = select(ROUNDS).where(combined).order_by(ROUNDS.c.round_id.desc()).limit(1)
        with read_transaction(self._engine) as database:
            row = database.execute(query).one_or_none()
            return None if row is None else _round(database, row)

    def get(self, round_id: int) -> Round | None:
        with read_transaction(self._engine) as database:
            row = database.execute(
                select(ROUNDS).where(ROUNDS.c.round_id == round_id)
            ).one_or_none()
            return None if row is None else _round(database, row)

    def all(self) -> list[Round]:
        """Every round, oldest first."""
        with read_transaction(self._engine) as database:
            rows = database.execute(select(ROUNDS).order_by(ROUNDS.c.round_id)).all()
            return [_round(database, row) for row in rows]

    def open(self, config: RoundConfig, target: int) -> None:
        """Open a round. Raises sqlite3.IntegrityError if its number is taken."""
        with self._raw.transaction() as sql:
            insert_round(sql, config, target)

    def close_if_due(self, round_id: int, minimum: int, now: int) -> State:
        """Close an open round that is full or whose time is over. Returns its state."""
        with self._engine.begin() as database:
            row = _row(database, round_id)
            if row.state != State.OPEN:
                return State(row.state)
            event = due(
                count_updates(database, round_id), row.target, minimum, _config(row).closes_at, now
            )
            return State.OPEN if event is None else _transition(database, row, event, now)

    def close_groups(self, round_id: int, record: dict[str, Any], now: int) -> None:
        """Close a round whose groups have ended with at least one sum.

        From here on the next model follows from the database alone.
        """
        with self._engine.begin() as database:
            row = _row(database, round_id)
            if row.state == State.OPEN:
                _transition(database, row, Event.TARGET, now)
                _set_record(database, round_id, record)

    def abandon(
        self, round_id: int, event: Event, now: int, note: str, record: dict[str, Any] | None = None
    ) -> None:
        """End a round without a model, unless it has already ended."""
        with self._engine.begin() as database:
            row = _row(database, round_id)
            if row.state in (State.OPEN, State.COMBINING):
                _set_record(database, round_id, record)
                _abandon(database, row, event, now, note)

    def reject(
        self, round_id: int, now: int, note: str, record: dict[str, Any], members: Members
    ) -> None:
        """End a round whose model would have been worse, unless it has already ended."""
        with self._engine.begin() as database:
            row = _row(database, round_id)
            if row.state == State.COMBINING:
                _set_record(database, round_id, record)
                add_members(database, round_id, members)
                _abandon(database, row, Event.REFUSED, now, note)

    def finish(
        self,
        round_id: int,
        count: int,
        model: Model,
        now: int,
        record: dict[str, Any] | None = None,
        members: Members = (),
    ) -> None:
        """Store the model that a round made, end the round and delete the updates' content.

        Raises sqlalchemy.exc.IntegrityError if the model's version is taken.
        """
        with self._engine.begin() as database:
            row = _row(database, round_id)
            _transition(database, row, Event.PUBLISHED, now)
            values = {"model_version": model.version, "updates": count}
            database.execute(update(ROUNDS).where(ROUNDS.c.round_id == round_id).values(**values))
            database.execute(insert(MODELS).values(**model.__dict__))
            _set_record(database, round_id, record)
            add_members(database, round_id, members)
            delete_content(database, round_id)


def insert_round(sql: Cursor, config: RoundConfig, target: int) -> None:
    """Open a round within a transaction. Raises sqlite3.IntegrityError if its number is taken."""
    sql.execute(
        _OPEN_ROUND,
        (config.round_id, State.OPEN, json.dumps(config.to_json()), config.digest, target),
    )


def abandon_open_rounds(database: Connection, event: Event, now: int, note: str) -> None:
    """End every open round without a model, within a transaction."""
    for row in database.execute(select(ROUNDS).where(ROUNDS.c.state == State.OPEN)).all():
        _abandon(database, row, event, now, note)


def rename_in_records(database: Connection, device_id: str, pseudonym: str) -> None:
    """Replace an erased device's id in the records of rounds, within a transaction."""
    names = ROUNDS.c.record.contains(json.dumps(device_id), autoescape=True)
    for row in database.execute(select(ROUNDS.c.round_id, ROUNDS.c.record).where(names)).all():
        record = row.record.replace(json.dumps(device_id), json.dumps(pseudonym))
        this = ROUNDS.c.round_id == row.round_id
        database.execute(update(ROUNDS).where(this).values(record=record))


def _abandon(database: Connection, row: Row[Any], event: Event, now: int, note: str) -> None:
    _transition(database, row, event, now)
    this = ROUNDS.c.round_id == row.round_id
    stored = database.execute(select(ROUNDS.c.record).where(this)).scalar_one()
    record = {**json.loads(stored or "{}"), "ended": event}
    database.execute(update(ROUNDS).where(this).values(note=note, record=json.dumps(record)))


def _transition(database: Connection, row: Row[Any], event: Event, now: int) -> State:
    state = after(State(row.state), event)
    values: dict[str, Any] = {"state": state, "updates": count_updates(database, row.round_id)}
    if state is not State.COMBINING:
        values["closed_at"] = now
    database.execute(update(ROUNDS).where(ROUNDS.c.round_id == row.round_id).values(**values))
    if state in (State.ABANDONED, State.REJECTED):
        delete_content(database, row.round_id)
    return state


def _set_record(database: Connection, round_id: int, record: dict[str, Any] | None) -> None:
    if record is not None:
        database.execute(
            update(ROUNDS).where(ROUNDS.c.round_id == round_id).values(record=json.dumps(record))
        )


def _row(database: Connection, round_id: int) -> Row[Any]:
    return database.execute(select(ROUNDS).where(ROUNDS.c.round_id == round_id)).one()


def _config(row: Row[Any]) -> RoundConfig:
    return RoundConfig.from_json(json.loads(row.config))


def _round(database: Connection, row: Row[Any]) -> Round:
    has_ended = row.state in ENDED
    updates = row.updates if has_ended else count_updates(database, row.round_id)
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
