"""Stores which devices were in which opened group of a round: what suspicion is inferred from.

It holds nothing about what a device sent. A row is deleted with its device, and after KEPT_ROUNDS
rounds.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Engine, delete, insert, select

from server_stub.storage.database import read_transaction
from server_stub.storage.tables import DEVICES, MEMBERSHIPS

KEPT_ROUNDS = 40
"""Rounds of which memberships are kept."""
Members = Iterable[tuple[int, Sequence[str]]]
"""The number of each opened group, and the devices in its sum."""


class MembershipStore:
    """Each method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def groups(self) -> dict[tuple[int, int], tuple[str, ...]]:
        """The devices in each opened group that is kept, by round and number of the group."""
        columns = MEMBERSHIPS.c
        query = select(columns.round_id, columns.group_number, columns.device_id).order_by(
            columns.round_id, columns.group_number, columns.device_id
        )
        found: dict[tuple[int, int], list[str]] = {}
        with read_transaction(self._engine) as database:
            for round_id, number, device_id in database.execute(query):
                found.setdefault((round_id, number), []).append(device_id)
        return {place: tuple(devices) for place, devices in found.items()}


def add_members(database: Connection, round_id: int, members: Members) -> None:
    """Store the groups of a round and delete those of long ago, within a transaction."""
    rows = [
        {"round_id": round_id, "group_number": number, "device_id": device_id}
        for number, devices in members
        for device_id in devices
    ]
    if rows:
        # A device that was erased meanwhile has no row to refer to.
        known = set(database.execute(select(DEVICES.c.device_id)).scalars())
        rows = [row for row in rows if row["device_id"] in known]
    if rows:
        database.execute(insert(MEMBERSHIPS), rows)
    database.execute(delete(MEMBERSHIPS).where(MEMBERSHIPS.c.round_id <= round_id - KEPT_ROUNDS))
