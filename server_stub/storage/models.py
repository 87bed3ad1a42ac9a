"""Stores published models. Versions only rise."""

from typing import Any

from sqlalchemy import Engine, func, insert, select

from server_stub.rounds.lifecycle import Event
from server_stub.storage.database import read_transaction
from server_stub.storage.records import Model
from server_stub.storage.rounds import abandon_open_rounds
from server_stub.storage.tables import MODELS


class ModelStore:
    """Each method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, model: Model, now: int) -> None:
        """Add a model of the operator's; an open round ends without one.

        Raises sqlalchemy.exc.IntegrityError if the version is taken.
        """
        with self._engine.begin() as database:
            abandon_open_rounds(database, Event.REPLACED, now, "another model was published")
            database.execute(insert(MODELS).values(**model.__dict__))

    def get(self, version: int) -> Model | None:
        with read_transaction(self._engine) as database:
            row = database.execute(select(MODELS).where(MODELS.c.version == version)).one_or_none()
        return None if row is None else Model(*row)

    def newest(self) -> Model | None:
        with read_transaction(self._engine) as database:
            row = database.execute(
                select(MODELS).order_by(MODELS.c.version.desc()).limit(1)
            ).one_or_none()
        return None if row is None else Model(*row)

    def newest_version(self) -> int:
        """The newest version; 0 before the first model."""
        with read_transaction(self._engine) as database:
            return database.execute(select(func.max(MODELS.c.version))).scalar_one() or 0

    def origins(self, up_to: int) -> list[str]:
        """Where all models up to this version are from, oldest first."""
        query = select(MODELS.c.origin).where(MODELS.c.version <= up_to).order_by(MODELS.c.version)
        with read_transaction(self._engine) as database:
            return list(database.execute(query).scalars())

    def inventory(self) -> list[dict[str, Any]]:
        """All models, oldest first, without their content."""
        columns = (
            MODELS.c.version,
            MODELS.c.sha256,
            MODELS.c.published_at,
            MODELS.c.demonstration,
            MODELS.c.origin,
        )
        with read_transaction(self._engine) as database:
            rows = database.execute(select(*columns).order_by(MODELS.c.version)).all()
        return [dict(row._mapping) for row in rows]
