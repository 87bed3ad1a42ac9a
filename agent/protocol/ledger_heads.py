"""The heads of a device's ledger, as the device shows them to the aggregator.

1. A head is the seal of the newest charge: 32 bytes that only the device can compute. It tells the
   aggregator how many charges there are, and nothing of what they say.
2. A ledger only grows, so its heads are a list. Two copies of a device that took part separately
   have different lists, and the aggregator sees that (LEDGER_FORKED).
"""

from dataclasses import dataclass
from typing import Any, Self

MAX_HEADS = 4096
"""In one message: more charges than the strictest budget of a year can pay for."""
MAX_COUNT = 2**31
_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class ShownHeads:
    """A stretch of a ledger's heads, without gaps, up to its newest."""

    count: int
    """How many charges the newest head stands for."""
    heads: tuple[str, ...]
    """Oldest first; 32 bytes each, in hex."""

    @property
    def head(self) -> str:
        """The newest head."""
        return self.heads[-1]

    @property
    def first(self) -> int:
        """How many charges the oldest head shown stands for."""
        return self.count - len(self.heads) + 1

    def at(self, count: int) -> str | None:
        """Return the head that stands for `count` charges; None where it is not shown."""
        return self.heads[count - self.first] if self.first <= count <= self.count else None

    def check(self) -> None:
        """Raise ValueError where a value is outside its range."""
        if not 0 <= self.count <= MAX_COUNT:
            raise ValueError(f"count: expected 0 to {MAX_COUNT}")
        if not 1 <= len(self.heads) <= min(MAX_HEADS, self.count + 1):
            raise ValueError("heads: expected at least one, and none before the first")
        for head in self.heads:
            _check_head(head)

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "heads": list(self.heads)}


@dataclass(frozen=True)
class HeadStep:
    """What one charge did to the ledger's head. It travels with the update that it pays for."""

    count: int
    """How many charges the head `after` stands for."""
    before: str
    after: str

    def to_query(self) -> str:
        """Return the query of the request that carries the update."""
        return f"count={self.count}&before={self.before}&after={self.after}"


@dataclass(frozen=True)
class Ready:
    """A device's report that its finished update can go into a round."""

    trained: int
    """The model version that the update was trained on."""
    session: str = ""
    """Random name of the agent's process, 16 bytes hex: two copies of a device have two."""
    shown: ShownHeads | None = None
    """None: a program from before ledgers were sealed."""

    def to_json(self) -> dict[str, Any]:
        return {
            "trained": self.trained,
            "session": self.session,
            "ledger": None if self.shown is None else self.shown.to_json(),
        }


@dataclass(frozen=True)
class HeadEcho:
    """The aggregator's signed answer about a ledger's head: it is the newest one known."""

    count: int
    head: str
    lease_s: int
    """For how long the aggregator admits no other copy of this device, in seconds; 0 while no round
    is open for it."""

    @classmethod
    def of(cls, shown: ShownHeads, lease_s: int) -> Self:
        return cls(shown.count, shown.head, lease_s)


def _check_head(head: str) -> None:
    if len(head) != 64 or set(head) - _DIGITS:
        raise ValueError("a head: expected 32 bytes in hex")
