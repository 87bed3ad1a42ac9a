"""Takes a sealed body to the server's signed receipt.

A body is charged and stored first. Then the stored bytes are sent, always the same ones (P4).
"""

import hashlib
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.errors import AegisError, InternalError, UserActionError
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.outcome import CycleResult, Outcome
from agent.store.ledger import UNKNOWN, Charge, Ledger, OutboxEntry, OutboxState
from agent.transport.blocking import Blocking
from agent.transport.server_clock import ServerClock

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig
    from agent.transport.client import AggregatorClient

FINAL = {
    "ROUND_CLOSED": OutboxState.CLOSED,
    "NOT_IN_GROUP": OutboxState.CLOSED,
    "ALREADY_CONTRIBUTED": OutboxState.REFUSED,
    "BAD_ENVELOPE": OutboxState.REFUSED,
    "WRONG_SHAPE": OutboxState.REFUSED,
    "MESSAGE_REFUSED": OutboxState.REFUSED,
    "LEDGER_FORKED": OutboxState.REFUSED,
}
"""Responses after which sending the same bytes again is pointless."""


class Outbox:
    """Charges for bodies and sends what was charged."""

    def __init__(
        self,
        clock: Clock,
        server_clock: ServerClock,
        agreed_clock: AgreedClock,
        ledger: Ledger,
        blocking: Blocking,
    ) -> None:
        self._clock = clock
        self._server_clock = server_clock
        self._agreed_clock = agreed_clock
        self._ledger = ledger
        self._blocking = blocking

    def charge(
        self, config: "RoundConfig", attempt: str, body: bytes, closes_at: int, head: str
    ) -> None:
        """Charge for `body` and store it. Both are durable when this returns.

        `head`: the head of the ledger to which the server admitted this device. Raises
        UserActionError DISK_FULL: nothing was charged.
        """
        from agent.privacy.zcdp import rho_local_units, rho_units

        uptime, agreed_s = self._clock.uptime(), self._agreed_clock.now()
        charge = Charge(
            at=self._clock.now(),
            task_id=config.task_id,
            round_id=config.round_id,
            attempt=attempt,
            mode=config.mode.value,
            model_version=config.model_version,
            model_digest=config.model_digest,
            config_digest=config.digest,
            rho_units=rho_units(config),
            rho_local_units=rho_local_units(config),
            body_sha256=hashlib.sha256(body).hexdigest(),
            body_bytes=len(body),
            start=uptime.start,
            uptime_s=uptime.seconds,
            agreed_s=UNKNOWN if agreed_s is None else agreed_s,
        )
        self._ledger.record(charge, body, closes_at, head)

    async def send(self, permit: Permit, client: "AggregatorClient", attempt: str) -> OutboxEntry:
        """Send an entry and keep its receipt; return the entry as it was before.

        Raises the error with a code of FINAL when the server refuses it for good (the entry is
        settled), UserActionError WITHDRAWN when its bytes were removed, and what the network
        raises.
        """
        entry, body = self._ledger.entry(attempt), self._ledger.body(attempt)
        if body is None:
            raise UserActionError(
                "WITHDRAWN",
                "The update was withdrawn before it was sent.",
                "No action is needed.",
            )
        step = self._ledger.head_step(attempt)
        permit.check()
        try:
            receipt = await self._blocking(lambda: client.send_update(body, step))
        except AegisError as error:
            if error.code in FINAL:
                self._ledger.settle(attempt, FINAL[error.code], self._clock.now())
            if error.code == "LEDGER_FORKED":
                self._ledger.sealed.mark_forked(self._clock.now())
            raise
        signed = {name: value for name, value in vars(receipt).items() if name != "signature"}
        self._ledger.settle(
            attempt,
            OutboxState.ACKNOWLEDGED,
            self._clock.now(),
            {"receipt": signed, "signature": receipt.signature},
        )
        return entry

    def withdraw(self) -> None:
        """Remove the bytes of every unsent entry: consent is gone (P2)."""
        self._ledger.withdraw(self._clock.now())

    @property
    def has_unsent(self) -> bool:
        """Whether an entry is charged and not settled."""
        return bool(self._ledger.unsent())

    def waiting(self) -> list[OutboxEntry]:
        """Return the entries that are charged, not acknowledged, and still in time.

        Settles the late ones as closed, by the server's time; where that is not known yet, the
        server decides when it gets them.
        """
        server_now, fresh = self._server_clock.now(), []
        for entry in self._ledger.unsent():
            if server_now is None or entry.closes_at > server_now:
                fresh.append(entry)
            else:
                self._ledger.settle(entry.attempt, OutboxState.CLOSED, self._clock.now())
        return fresh


async def send_stored(
    outbox: Outbox,
    permit: Permit,
    client: "AggregatorClient",
    attempt: str,
    round_id: int,
    rows_used: int = 0,
) -> CycleResult:
    """Send an outbox entry and return how it went.

    Raises what `Outbox.send` raises, except the codes of FINAL.
    """
    try:
        entry = await outbox.send(permit, client, attempt)
    except AegisError as error:
        if error.code not in FINAL:
            raise
        return CycleResult(
            Outcome.ROUND_CLOSED, f"{error.message} The charge stands.", round_id=round_id
        )
    return CycleResult(
        Outcome.SENT,
        "The update was sent and acknowledged.",
        round_id=round_id,
        bytes_up=entry.bytes,
        rows_used=rows_used,
    )


def check_sealed(body: bytes, config: "RoundConfig", attempt: str) -> None:
    """Check that `body` was sealed for this round and attempt, by its envelope's header.

    The worker is not trusted. Raises InternalError SEAL_BROKEN.
    """
    from agent.protocol.envelope import decode

    try:
        header = decode(body).header
    except AegisError as error:
        raise InternalError(
            "SEAL_BROKEN",
            "The sealed update cannot be read; nothing was charged or sent.",
            "Report this.",
        ) from error
    sealed_for = (
        header.get("task_id"),
        header.get("round_id"),
        header.get("config_digest"),
        header.get("attempt"),
    )
    if sealed_for != (config.task_id, config.round_id, config.digest, attempt):
        raise InternalError(
            "SEAL_BROKEN",
            "The sealed update is for another round; nothing was charged or sent.",
            "Report this.",
        )
