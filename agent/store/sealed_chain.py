"""The chain of charges under its seals: what the ledger says, and whether AegisAI wrote it.

1. `open` takes the key from the key store, for the length of a cycle. Reading works without it;
   adding a charge does not.
2. A ledger gets its seals the first time that its key is at hand. Later a ledger without them is
   missing, and counts as spent: nothing begins anew by itself.
3. A ledger that is missing, altered, cut short, set back or forked raises its error on every read.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from agent.errors import InternalError, UserActionError
from agent.protocol.ledger_heads import MAX_HEADS, HeadStep, ShownHeads
from agent.store.chain import FIRST, Chain
from agent.store.database import Database
from agent.store.head import LedgerHead, RecordedHead, UnsealedHead
from agent.store.ledger_errors import (
    altered_error,
    forked_error,
    missing_error,
    set_back_error,
)
from agent.store.ledger_key import LedgerKey, Origin
from agent.store.values import Values

log = logging.getLogger(__name__)

ORIGIN = "ledger_origin"
"""Key in the store: when the ledger was sealed, and what was there before."""
FORKED_AT = "ledger_forked_at"
"""Key in the store: when the aggregator said that another copy has gone on."""


@dataclass(frozen=True)
class SealState:
    """What is known about the seals of the ledger."""

    is_verified: bool
    """This process has checked every seal with the key. Else the ledger is as it was found."""
    sealed_at: int | None
    """Seconds since the epoch; None while there are no seals yet."""
    unsealed: int
    """How many charges are older than the seals."""


class _Seals:
    """The table `charge_seal`, and what the seals begin with."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values = Values(database, "value")

    def all(self) -> list[str]:
        """Return every seal, seal 0 first; only those before a gap."""
        seals: list[str] = []
        for seq, seal in self._database.rows("SELECT seq, seal FROM charge_seal ORDER BY seq"):
            if seq != len(seals):
                break
            seals.append(str(seal))
        return seals

    def origin(self) -> Origin | None:
        """Return what the seals begin with; None for a ledger without seals.

        Raises UserActionError LEDGER_ALTERED.
        """
        stored = self._values.get(ORIGIN)
        if stored is None:
            return None
        try:
            return Origin(int(stored["sealed_at"]), int(stored["unsealed"]))
        except (ValueError, TypeError, KeyError) as error:
            raise altered_error(1) from error

    # Inside the caller's transaction.

    def put(self, seq: int, seal: str) -> None:
        self._database.execute("INSERT INTO charge_seal (seq, seal) VALUES (?, ?)", seq, seal)

    def replace(self, origin: Origin | None, seals: list[str]) -> None:
        """Store these seals instead of any others."""
        self._database.execute("DELETE FROM charge_seal")
        for seq, seal in enumerate(seals):
            self.put(seq, seal)
        self._values.put_within(ORIGIN, None if origin is None else asdict(origin))


class SealedChain:
    """The table `charge`, the seals beside it, and the recorded head."""

    def __init__(self, database: Database, head: LedgerHead | None = None) -> None:
        self._database = database
        self._chain = Chain(database, "charge")
        self._seals = _Seals(database)
        self._values = Values(database, "value")
        self._head = head
        self._key: LedgerKey | None = None
        self._verified = (0, FIRST)
        """Number and hash of the newest charge whose seal this process has checked."""
        self._fault: UserActionError | None = None
        """What the last check with the key found wrong."""

    # The key.

    def open(self, key: LedgerKey, now: int, *, was_sealed: bool) -> None:
        """Check every seal with `key` and keep it for `appending`; seal a ledger that never was.

        `was_sealed`: the key store knows that this key has sealed the ledger before. Raises
        UserActionError CHAIN_BROKEN, LEDGER_ALTERED, LEDGER_SET_BACK, LEDGER_MISSING,
        LEDGER_FORKED; then the key is not kept.
        """
        self._check_not_forked()
        if self._seals.origin() is None and not was_sealed:
            self._seal(key, now)
        self.check(key, was_sealed=was_sealed)
        self._key = key

    def check(self, key: LedgerKey, *, was_sealed: bool) -> None:
        """Check every seal with `key`. What it finds holds for later reads without a key.

        Raises as `open` does.
        """
        self._fault = None
        try:
            if was_sealed and self._seals.origin() is None:
                raise missing_error()
            self._verify(key)
        except UserActionError as error:
            self._fault = error
            raise

    def close(self) -> None:
        """Forget the key."""
        self._key = None

    # Reading.

    def bodies(self, *, as_found: bool = False) -> list[dict[str, Any]]:
        """Check what can be checked now and return each charge's body, in order.

        `as_found`: check the chain alone, to show a ledger that counts as spent. Raises as `open`
        does.
        """
        if as_found:
            return self._chain.verified()
        self._check_not_forked()
        if self._fault is not None and self._key is None:
            raise self._fault
        return [json.loads(text) for text in self._verify(self._key)]

    def state(self) -> SealState:
        """Return what is known about the seals."""
        origin, hashes = self._seals.origin(), self._chain.hashes()
        number, verified = self._verified
        is_verified = (
            origin is not None
            and self._fault is None
            and number == len(hashes)
            and verified == (hashes[-1] if hashes else FIRST)
        )
        return SealState(
            is_verified,
            None if origin is None else origin.sealed_at,
            len(hashes) if origin is None else origin.unsealed,
        )

    def shown(self, first: int) -> ShownHeads:
        """Return the heads to show to the aggregator: from `first` charges on, up to the newest.

        Raises InternalError LEDGER_CLOSED while the ledger has no seals.
        """
        seals = self._seals.all()
        if not seals:
            raise _closed()
        first = max(first, len(seals) - MAX_HEADS)
        return ShownHeads(len(seals) - 1, tuple(seals[min(first, len(seals) - 1) :]))

    def step(self, seq: int) -> HeadStep | None:
        """Return what the charge `seq` did to the head; None where it has no seal."""
        seals = self._seals.all()
        return HeadStep(seq, seals[seq - 1], seals[seq]) if 0 < seq < len(seals) else None

    # Writing.

    @contextmanager
    def appending(self, body: dict[str, Any], head: str | None = None) -> Iterator[int]:
        """Add a charge in a transaction together with what the block writes; gives its number.

        `head`: the newest seal must be this one. Raises InternalError LEDGER_CLOSED without the
        key, LEDGER_MISMATCH when the head has changed, and as `open` does.
        """
        key = self._key
        if key is None:
            raise _closed()
        with self._database.transaction():
            self._check_not_forked()
            self._verify(key)
            newest = self._seals.all()[-1]
            if head not in (None, newest):
                raise InternalError(
                    "LEDGER_MISMATCH", "The ledger has changed since the server admitted it."
                )
            seq = self._chain.append(body)
            text = self._chain.texts()[-1]
            self._seals.put(seq, key.next(newest, text))
            yield seq
        self._note_verified()
        self._record(key)

    @contextmanager
    def carrying_over(self, body: dict[str, Any]) -> Iterator[None]:
        """Add a last charge without the key and take the seals off, in a transaction together with
        what the block writes. The next key seals the ledger again.

        For a copy that gets an identity of its own. Raises UserActionError CHAIN_BROKEN, OSError.
        """
        self._chain.texts()
        with self._database.transaction():
            self._chain.append(body)
            self._seals.replace(None, [])
            self._values.put_within(FORKED_AT, None)
            yield
        self._key = self._fault = None
        if self._head is not None:
            self._head.remove()

    def mark_forked(self, now: int) -> UserActionError:
        """Make the ledger count as spent from now on; returns the error to raise."""
        self._values.put(FORKED_AT, now)
        self._key = None
        return forked_error()

    @property
    def is_forked(self) -> bool:
        """Whether the aggregator said that another copy has gone on."""
        return self._values.get(FORKED_AT) is not None

    # How it is checked.

    def _check_not_forked(self) -> None:
        if self.is_forked:
            raise forked_error()

    def _verify(self, key: LedgerKey | None) -> list[bytes]:
        """Check chain, seals and recorded head; what the seals say only with `key`."""
        texts, origin, seals = self._chain.texts(), self._seals.origin(), self._seals.all()
        if origin is None:
            self._check_unsealed(len(texts))
            return texts
        if not seals:
            raise missing_error()
        if len(seals) > len(texts) + 1:
            raise set_back_error()
        if len(seals) <= len(texts):
            raise altered_error(len(seals))
        if key is not None:
            for number, (stored, true) in enumerate(
                zip(seals, key.seals(origin, texts), strict=True)
            ):
                if stored != true:
                    raise altered_error(max(1, number))
        if self._head is not None:
            recorded = self._head.read_sealed()
            tag = None if key is None else key.tag(recorded.charges, recorded.seal)
            recorded.check(seals, tag)
        if key is not None:
            self._note_verified()
        return texts

    def _note_verified(self) -> None:
        hashes = self._chain.hashes()
        self._verified = (len(hashes), hashes[-1] if hashes else FIRST)

    def _check_unsealed(self, count: int) -> None:
        recorded = None if self._head is None else self._head.read()
        if isinstance(recorded, UnsealedHead):
            recorded.check(self._chain.hashes())
        elif recorded is not None and recorded.charges > count:
            raise set_back_error()

    # How it is stored.

    def _seal(self, key: LedgerKey, now: int) -> None:
        """Seal what is there. The recorded head comes first: after a crash nothing has changed."""
        texts = self._chain.texts()
        self._check_unsealed(len(texts))
        origin = Origin(now, len(texts))
        seals = key.seals(origin, texts)
        if self._head is not None:
            self._head.write(RecordedHead(len(texts), seals[-1], key.tag(len(texts), seals[-1])))
        with self._database.transaction():
            self._seals.replace(origin, seals)
        log.debug("ledger.sealed charges=%d", len(texts))

    def _record(self, key: LedgerKey) -> None:
        """Write the recorded head. The charge is durable already: a failure leaves it behind."""
        if self._head is None:
            return
        seals = self._seals.all()
        head = RecordedHead(len(seals) - 1, seals[-1], key.tag(len(seals) - 1, seals[-1]))
        try:
            self._head.write(head)
        except OSError as error:
            log.warning("ledger.head_behind error=%s", error.strerror)


def _closed() -> InternalError:
    return InternalError("LEDGER_CLOSED", "A charge needs the ledger's key.", "Report this.")
