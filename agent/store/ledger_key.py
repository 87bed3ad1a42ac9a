"""Seals the ledger with a key that only the key store yields: HMAC-SHA-256, one label for each use.

    seal 0  = HMAC(key, "origin" ‖ 0 ‖ when the ledger was sealed, and how many charges it had)
    seal n  = HMAC(key, "charge" ‖ 0 ‖ seal n-1 ‖ charge n)
    tag     = HMAC(key, "head" ‖ 0 ‖ count ‖ seal)

A seal stands for the whole ledger up to its charge. Whoever lacks the key can compute none.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from agent.protocol.canonical import canonical

LABEL = "aegisai/ledger/1"
"""Names the purpose of the key where it is derived (agent.identity.identity)."""


@dataclass(frozen=True)
class Origin:
    """What the seals of a ledger begin with."""

    sealed_at: int
    """Seconds since the epoch."""
    unsealed: int
    """How many charges were there already, so that no seal vouches for their past."""


@dataclass(frozen=True)
class LedgerKey:
    """The key of one device's ledger."""

    secret: bytes = field(repr=False)

    def first(self, origin: Origin) -> str:
        """Return seal 0."""
        return self._mac(b"origin", canonical(vars(origin)))

    def next(self, previous: str, body: bytes) -> str:
        """Return the seal of a charge with this canonical body after the seal `previous`."""
        return self._mac(b"charge", bytes.fromhex(previous) + body)

    def seals(self, origin: Origin, bodies: list[bytes]) -> list[str]:
        """Return every seal of a ledger, seal 0 included."""
        seals = [self.first(origin)]
        for body in bodies:
            seals.append(self.next(seals[-1], body))
        return seals

    def tag(self, count: int, seal: str) -> str:
        """Return the tag that proves a recorded head."""
        return self._mac(b"head", canonical([count, seal]))

    def _mac(self, label: bytes, message: bytes) -> str:
        return hmac.digest(self.secret, label + b"\0" + message, hashlib.sha256).hex()
