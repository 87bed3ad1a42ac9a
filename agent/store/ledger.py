"""The ledger: records each privacy charge together with the bytes to send, in one durable
transaction before the first byte leaves (P4).

1. A charge is never changed, refunded or removed. It is a sealed row of the `charge` chain.
2. The outbox holds the exact bytes. They are sent from here, and a retry sends the same bytes
   again.
3. An entry is `unsent` until the server's signed receipt is stored (`acknowledged`), the round
   closes without it (`closed`), the server refuses it (`refused`), or the person withdraws
   (`withdrawn`; its bytes are removed).
4. A claim is an act that a device performs at most once in a group's round (join, sign survivors,
   unmask). It is recorded before its effect, for good.
5. A copy of a home that gets an identity of its own carries its charges over, and one more that
   counts what the other copy may spend. That one pays for no bytes.
"""

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from agent.clock import Uptime
from agent.errors import InternalError, UserActionError
from agent.protocol.ledger_heads import HeadStep, ShownHeads
from agent.store.database import Database, Row, damaged
from agent.store.head import LedgerHead
from agent.store.sealed_chain import SealedChain
from agent.store.shapes import conforms, record

CARRIED_OVER = "carried_over"
"""The mode of a charge that a copy made when it got an identity of its own."""


UNKNOWN = -1
"""In charges of versions that did not note it."""


class OutboxState(Enum):
    """State of an outbox entry."""

    UNSENT = "unsent"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Charge:
    """One privacy charge. ρ in units of 2⁻⁴⁰ (agent.privacy.zcdp)."""

    at: int
    task_id: str
    round_id: int
    attempt: str
    """Random id of this seal, 16 bytes hex."""
    mode: str
    """"local", "secagg" or CARRIED_OVER."""
    model_version: int
    model_digest: str
    config_digest: str
    rho_units: int
    rho_local_units: int
    """The price if the sum gave no protection; equal to rho_units in local mode."""
    body_sha256: str
    body_bytes: int
    start: str = ""
    """With `uptime_s` the Uptime at the charge (agent.clock); "" in charges of older versions."""
    uptime_s: int = 0
    agreed_s: int = UNKNOWN
    """The time that both clocks agree on, at the charge (agent.privacy.agreed_time)."""


@dataclass(frozen=True)
class OutboxEntry:
    attempt: str
    charge_seq: int
    task_id: str
    round_id: int
    closes_at: int
    created_at: int
    sha256: str
    bytes: int
    state: OutboxState
    settled_at: int | None
    receipt: dict[str, Any] | None
    """The server's signed receipt as received: {"receipt": {...}, "signature": hex}."""


@dataclass(frozen=True)
class Totals:
    sent: int
    bytes_up: int
    last_at: int | None


def carried_over(
    rho_units: int, now: int, uptime: Uptime | None = None, agreed_s: int | None = None
) -> Charge:
    """The charge for what another copy of this device may spend. It pays for no bytes.

    `uptime` and `agreed_s` say when it was made, as in any other charge: `now` may be wrong.
    """
    nothing = hashlib.sha256(b"").hexdigest()
    return Charge(
        at=now,
        task_id="",
        round_id=0,
        attempt=secrets.token_hex(16),
        mode=CARRIED_OVER,
        model_version=0,
        model_digest=nothing,
        config_digest=nothing,
        rho_units=rho_units,
        rho_local_units=rho_units,
        body_sha256=nothing,
        body_bytes=0,
        start="" if uptime is None else uptime.start,
        uptime_s=0 if uptime is None else uptime.seconds,
        agreed_s=UNKNOWN if agreed_s is None else agreed_s,
    )


_COLUMNS = (
    "attempt, charge_seq, task_id, round_id, closes_at, created_at, sha256, bytes, state,"
    " settled_at, receipt"
)


class Ledger:
    """The charges, the outbox and the claims of one device."""

    def __init__(self, database: Database, head: LedgerHead | None = None) -> None:
        self._database = database
        self.sealed = SealedChain(database, head)

    def record(self, charge: Charge, body: bytes, closes_at: int, head: str | None = None) -> None:
        """Charge and put `body` into the outbox; durable when this returns.

        `head`: the newest seal, to which the server admitted this device. Raises InternalError
        LEDGER_MISMATCH when the charge is not for these bytes or the head has changed,
        LEDGER_CLOSED without the ledger's key, and as `SealedChain.open` does.
        """
        if hashlib.sha256(body).hexdigest() != charge.body_sha256 or len(body) != charge.body_bytes:
            raise InternalError("LEDGER_MISMATCH", "A charge and its bytes do not match.")
        with self.sealed.appending(asdict(charge), head) as seq:
            self._database.execute(
                "INSERT INTO outbox (attempt, charge_seq, task_id, round_id, closes_at, created_at,"
                " sha256, bytes, body, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'unsent')",
                charge.attempt,
                seq,
                charge.task_id,
                charge.round_id,
                closes_at,
                charge.at,
                charge.body_sha256,
                charge.body_bytes,
                body,
            )

    def settle(
        self, attempt: str, state: OutboxState, now: int, receipt: dict[str, Any] | None = None
    ) -> None:
        """Set the final state of an unsent entry."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE outbox SET state = ?, settled_at = ?, receipt = ? WHERE attempt = ? AND"
                " state = 'unsent'",
                state.value,
                now,
                None if receipt is None else json.dumps(receipt, sort_keys=True),
                attempt,
            )

    def withdraw(self, now: int) -> int:
        """Remove all unsent bytes; the charges stand. Returns the number of entries."""
        with self._database.transaction():
            return self._database.execute(
                "UPDATE outbox SET state = 'withdrawn', settled_at = ?, body = NULL WHERE state ="
                " 'unsent'",
                now,
            )

    def unsent(self) -> list[OutboxEntry]:
        return self._entries("WHERE state = 'unsent' ORDER BY charge_seq")

    def entry(self, attempt: str) -> OutboxEntry:
        """Return the entry of a seal. Raises UserActionError NOT_FOUND."""
        entries = self._entries("WHERE attempt = ?", attempt)
        if not entries:
            raise UserActionError(
                "NOT_FOUND", "There is no such entry in the ledger.", "aegis ledger lists them."
            )
        return entries[0]

    def body(self, attempt: str) -> bytes | None:
        """Return the exact bytes of an entry; None after a withdrawal.

        Raises UserActionError CHAIN_BROKEN when they were altered.
        """
        row = self._database.row("SELECT body, sha256 FROM outbox WHERE attempt = ?", attempt)
        if row is None or row[0] is None:
            return None
        if not isinstance(row[0], bytes) or hashlib.sha256(row[0]).hexdigest() != row[1]:
            raise UserActionError(
                "CHAIN_BROKEN",
                "Something altered an outbox entry. AegisAI will not send it.",
                "Run aegis ledger --verify.",
            )
        return bytes(row[0])

    def has_charged(self, task_id: str, round_id: int) -> bool:
        """Whether this device has already paid for a round."""
        return (
            self._database.row(
                "SELECT 1 FROM outbox WHERE task_id = ? AND round_id = ?", task_id, round_id
            )
            is not None
        )

    def claim(self, task_id: str, round_id: int, claim: str, now: int) -> bool:
        """Record that this device is about to do `claim` in a round; durable when this returns.

        Returns False when it was recorded before: then the device must not do it again.
        """
        with self._database.transaction():
            inserted = self._database.execute(
                "INSERT OR IGNORE INTO round_claim VALUES (?, ?, ?, ?)",
                task_id,
                round_id,
                claim,
                now,
            )
        return inserted == 1

    def has_taken_part(self, task_id: str, round_id: int) -> bool:
        """Whether this device has already paid for a round or joined its group."""
        claimed = self._database.row(
            "SELECT 1 FROM round_claim WHERE task_id = ? AND round_id = ?", task_id, round_id
        )
        return claimed is not None or self.has_charged(task_id, round_id)

    def newest_round(self, task_id: str) -> int:
        """Return the highest round paid for or joined; 0 for none."""
        row = self._database.row(
            "SELECT max(round_id) FROM (SELECT round_id FROM outbox WHERE task_id = ? UNION ALL"
            " SELECT round_id FROM round_claim WHERE task_id = ?)",
            task_id,
            task_id,
        )
        return int(row[0]) if row and row[0] is not None else 0

    def charges(self, *, as_found: bool = False) -> list[Charge]:
        """Check the ledger and return each charge, in order.

        `as_found`: check the chain alone, to show a ledger that counts as spent. Raises
        UserActionError CHAIN_BROKEN, LEDGER_ALTERED, LEDGER_SET_BACK, LEDGER_MISSING,
        LEDGER_FORKED.
        """
        charges = [record(Charge, body, "charge") for body in self.sealed.bodies(as_found=as_found)]
        return charges

    def shown_heads(self, *, every: bool = False) -> ShownHeads:
        """Return the heads to show to the aggregator: since the last update that it confirmed,
        or `every` one.
        """
        row = self._database.row("SELECT max(charge_seq) FROM outbox WHERE state = 'acknowledged'")
        confirmed = int(row[0]) if row and row[0] is not None else 0
        return self.sealed.shown(0 if every else confirmed)

    def head_step(self, attempt: str) -> HeadStep | None:
        """Return what the charge of an entry did to the ledger's head; None where it is older than
        the seals.
        """
        seq = self.entry(attempt).charge_seq
        return self.sealed.step(seq) if seq > self.sealed.state().unsealed else None

    def entries(self, offset: int = 0, limit: int = -1) -> list[OutboxEntry]:
        return self._entries("ORDER BY charge_seq LIMIT ? OFFSET ?", limit, offset)

    def totals(self) -> Totals:
        row = self._database.row(
            "SELECT count(*), coalesce(sum(bytes), 0), max(settled_at) FROM outbox WHERE state ="
            " 'acknowledged'"
        )
        totals = Totals(*row) if row else Totals(0, 0, None)
        if not conforms(totals.last_at, (int, type(None))):
            raise damaged("outbox")
        return totals

    def bytes_since(self, start: int) -> int:
        """Return the number of bytes put into the outbox since `start`, without withdrawn ones."""
        row = self._database.row(
            "SELECT coalesce(sum(bytes), 0) FROM outbox WHERE created_at >= ? AND state !="
            " 'withdrawn'",
            start,
        )
        return int(row[0]) if row else 0

    def problems(self) -> list[str]:
        """Describe each inconsistency of chain, digests and receipts in one sentence.

        agent.reports.ledger checks the receipts' signatures, because it knows the aggregator's key.
        """
        try:
            charges = self.charges()
        except UserActionError as error:
            return [error.message]
        entries = {entry.charge_seq: entry for entry in self.entries()}
        problems = []
        for seq, charge in enumerate(charges, start=1):
            if charge.mode == CARRIED_OVER:
                continue
            entry = entries.pop(seq, None)
            if entry is None:
                problems.append(f"Charge {seq} has no outbox entry.")
            elif (entry.attempt, entry.sha256, entry.bytes) != (
                charge.attempt,
                charge.body_sha256,
                charge.body_bytes,
            ):
                problems.append(f"Charge {seq} and its outbox entry differ.")
            else:
                problems.extend(self._entry_problems(seq, entry))
        problems.extend(
            f"Outbox entry {entry.attempt} was never charged." for entry in entries.values()
        )
        return problems

    def _entry_problems(self, seq: int, entry: OutboxEntry) -> list[str]:
        try:
            body = self.body(entry.attempt)
        except UserActionError:
            return [f"The bytes of entry {seq} were altered."]
        if body is None and entry.state is not OutboxState.WITHDRAWN:
            return [f"The bytes of entry {seq} are missing."]
        if entry.state is OutboxState.ACKNOWLEDGED:
            receipt = (entry.receipt or {}).get("receipt", {})
            if (
                receipt.get("body_sha256") != entry.sha256
                or receipt.get("round_id") != entry.round_id
            ):
                return [f"The receipt of entry {seq} is for other bytes."]
            step = self.head_step(entry.attempt)
            if step is not None and receipt.get("ledger_head") not in (None, "", step.after):
                return [f"The receipt of entry {seq} is for another ledger."]
        return []

    def _entries(self, where: str, *values: object) -> list[OutboxEntry]:
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM outbox {where}", *values)  # noqa: S608
        return [_entry(row) for row in rows]


def _entry(row: Row) -> OutboxEntry:
    """Read a row of the outbox. Raises UserActionError STORE_DAMAGED."""
    names = [field.name for field in fields(OutboxEntry)]
    values = dict(zip(names, row, strict=True))
    try:
        values["state"] = OutboxState(values["state"])
        receipt = values["receipt"]
        values["receipt"] = None if receipt is None else json.loads(receipt)
    except (ValueError, TypeError) as error:
        raise damaged(f"outbox: {error}") from error
    if not conforms(values["receipt"], ({}, type(None))) or not conforms(
        values["settled_at"], (int, type(None))
    ):
        raise damaged("outbox")
    return record(OutboxEntry, values, "outbox")
