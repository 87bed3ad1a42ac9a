"""Remembers what the server asked for last, so that a device without a round knows what to expect.

It survives a restart.
"""

from dataclasses import asdict, dataclass, replace

from agent.store.database import damaged
from agent.store.shapes import conforms, record
from agent.store.values import Values

KEY = "round_price"


@dataclass(frozen=True)
class Asked:
    """What an offer asked of this device."""

    task_id: str
    model_version: int = 0
    model_digest: str = ""
    rho_units: int | None = None
    """The price of the last round announced; None before the first."""
    at: int = 0
    """When it asked this price for the first time, in seconds since the epoch."""


class LastOffer:
    """Reads and writes what the last offer asked."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def of(self, task_id: str) -> Asked | None:
        """Return what the last offer of this task asked; None if none did.

        Raises UserActionError STORE_DAMAGED.
        """
        noted = self._values.get(KEY, {"task_id": str})
        if noted is None or noted["task_id"] != task_id:
            return None
        asked = record(Asked, noted, KEY)
        if not conforms(asked.rho_units, (int, type(None))):
            raise damaged(f"{KEY}: rho_units")
        return asked

    def note(self, asked: Asked, renew_after_s: int) -> None:
        """Remember an offer. Without a price the last one stays.

        `at` stays too while the offers ask the same, for up to `renew_after_s`.
        """
        before = self.of(asked.task_id) or Asked(asked.task_id)
        is_known = asked.rho_units is None or (
            asked.rho_units == before.rho_units and 0 <= asked.at - before.at < renew_after_s
        )
        priced = before if is_known else asked
        noted = replace(asked, rho_units=priced.rho_units, at=priced.at)
        if noted != before:
            self._values.put(KEY, asdict(noted))
