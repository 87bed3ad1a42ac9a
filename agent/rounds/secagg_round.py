"""A round in `secagg` mode: this device meets its group, and only the group's sum can ever be read.

1. The group meets when the server says; this device comes with a finished update and checks for
   itself who is there (agent.secagg).
2. It joins a round once in its life, signs one set of survivors and unmasks once: each is written
   down before it is done (P10).
3. Sealed once the group stands, charged and stored before the first byte of the masked input leaves
   (P4).
4. Whatever ends the round early ends it here: secrets are wiped, and where the group can go on
   without this device it is told so by a `leave` that holds a code and no data (P2).
"""

import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.errors import AegisError, PeerError
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.join_window import JoinWindow
from agent.rounds.outbox import Outbox, check_sealed
from agent.rounds.outcome import CycleResult, Outcome, Trained
from agent.store.ledger import Ledger
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.identity.identity import Identity
    from agent.privacy.policy import DeviceLimits
    from agent.protocol.messages import RoundConfig
    from agent.secagg.client import Client
    from agent.supervisor.worker import Worker
    from agent.transport.client import AggregatorClient
    from agent.transport.session import RoundSession

T = TypeVar("T")
log = logging.getLogger(__name__)

JOINED = "joined"
"""The first claim of a round: this device is about to advertise."""
_CLOSED = frozenset({"ROUND_CLOSED", "NOT_IN_GROUP", "ALREADY_CONTRIBUTED"})
"""The round ended, or went on without this device: no fault of anybody's."""
_LOST = frozenset(
    {"OFFLINE", "SERVER_BUSY", "SERVER_ERROR", "SERVER_CERTIFICATE", "REJECTED_IDENTITY"}
)
"""The server cannot be told either."""


@dataclass
class ActiveRound:
    """A round under way."""

    config: "RoundConfig"
    identity: "Identity"
    machine: "Client"
    is_known: bool = False
    """The server may have heard of this device."""
    is_charged: bool = False
    bytes_up: int = 0
    bytes_down: int = 0

    def farewell(self, reason: str) -> bytes | None:
        """Forget the round's secrets at once; the `leave` to send, None when there is nothing to
        leave.
        """
        known, self.is_known = self.is_known, False
        try:
            body = self.machine.leave(reason[:64])
        except AegisError:  # it has unmasked: the round is over for this device
            body = None
        self.machine.wipe()
        return body if known else None


@dataclass(frozen=True)
class LeaveNotice:
    """A `leave` on its way, with the identity that signs its request."""

    round_id: int
    body: bytes
    identity: "Identity" = field(repr=False)


class SecaggRound:
    """Gives a finished update to a group. One round at a time."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        outbox: Outbox,
        budget_gate: BudgetGate,
        worker: "Callable[[], Worker]",
        blocking: Blocking,
        limits: "Callable[[], DeviceLimits]",
        doing: Callable[[str, str], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._outbox = outbox
        self._budget_gate = budget_gate
        self._worker = worker
        self._blocking = blocking
        self._limits = limits
        self._doing = doing
        self._sleep = sleep
        self._is_busy = False
        self._turn: ActiveRound | None = None

    @property
    def may_leave(self) -> bool:
        """Whether a round is under way whose masked input is not charged yet."""
        return self._turn is not None and not self._turn.is_charged

    @property
    def is_busy(self) -> bool:
        """Whether a group is met or waited for."""
        return self._is_busy

    @property
    def is_committed(self) -> bool:
        """Whether a round is under way whose masked input is charged."""
        return self._turn is not None and self._turn.is_charged

    def leave(self, reason: str) -> LeaveNotice | None:
        """End the round under way: its secrets are gone when this returns.

        What may still be said about it, if anything.
        """
        turn = self._turn
        if turn is None or (body := turn.farewell(reason)) is None:
            return None
        return LeaveNotice(turn.config.round_id, body, turn.identity)

    async def give(
        self,
        permit: Permit,
        client: "AggregatorClient",
        config: "RoundConfig",
        trained: Trained,
        join_window: JoinWindow,
        ca_pem: str,
        revoked: frozenset[int],
    ) -> CycleResult:
        """Take part from the join window to the answer that opens the sum.

        Raises PeerError with the code of the check that failed (agent.secagg.client), and what
        worker, disk and network raise.
        """
        self._is_busy = True
        try:
            self._doing("sending", "Waiting for the group to meet")
            await self._sleep(join_window.wait_s)
            permit.check()
            identity = client.identity
            if identity is None or not self._ledger.claim(
                config.task_id, config.round_id, JOINED, self._clock.now()
            ):
                return already(config.round_id)
            self._doing("sending", "Meeting the group")
            self._turn = ActiveRound(
                config, identity, self._machine(config, identity, ca_pem, revoked)
            )
            return await self._take_part(permit, client, self._turn, trained, join_window)
        finally:
            self._is_busy = False
            self._turn = None

    def _machine(
        self, config: "RoundConfig", identity: "Identity", ca_pem: str, revoked: frozenset[int]
    ) -> "Client":
        from agent.secagg.client import Client

        return Client(
            config,
            identity.device_id,
            identity.certificate_pem,
            ca_pem,
            identity.signer.sign,
            limits=self._limits(),
            entropy=os.urandom,
            now=self._clock.now(),
            revoked=revoked,
        )

    async def _take_part(
        self,
        permit: Permit,
        client: "AggregatorClient",
        turn: ActiveRound,
        trained: Trained,
        join_window: JoinWindow,
    ) -> CycleResult:
        round_id = turn.config.round_id
        try:
            await self._session(permit, client, turn, trained, join_window).run()
        except AegisError as error:
            return await self._ended(client, turn, error)
        log.info("round.opened id=%d up=%d down=%d", round_id, turn.bytes_up, turn.bytes_down)
        text = "The update went into its group's sum; only the sum can be read."
        return CycleResult(
            Outcome.SENT, text, (), round_id, turn.bytes_up, turn.bytes_down, trained.rows_used
        )

    def _session(
        self,
        permit: Permit,
        client: "AggregatorClient",
        turn: ActiveRound,
        trained: Trained,
        join_window: JoinWindow,
    ) -> "RoundSession":
        from agent.transport.session import PATIENCE, Claim, RoundSession

        config, attempt = turn.config, secrets.token_hex(16)

        async def seal() -> bytes:
            permit.check()
            self._doing("sending", "The group stands; sealing the update")
            body = await self._worker().seal(
                config, os.fspath(trained.scratch), trained.job_key, attempt
            )
            check_sealed(body, config, attempt)
            return body

        def charge(body: bytes) -> None:
            permit.check()
            if (
                refused := self._budget_gate.refusal(config.task_id, config.model_digest, config)
            ) is not None:
                raise PeerError("WALL", refused.text, "Nothing was charged or sent.")
            self._outbox.charge(
                config, attempt, body, self._clock.now() + PATIENCE * config.phase_s
            )
            turn.is_charged = True
            turn.bytes_up += len(body)
            self._doing("sending", "Sending the masked update")

        async def deliver() -> None:
            await self._outbox.send(permit, client, attempt)
            self._doing("sending", "Waiting until the group's sum can be opened")

        def claim(claim: Claim) -> bool:
            return self._ledger.claim(
                config.task_id, config.round_id, claim.value, self._clock.now()
            )

        async def blocking(call: Callable[[], T]) -> T:
            permit.check()
            return await self._blocking(call)

        return RoundSession(
            config,
            turn.machine,
            _Line(client, turn),
            clock=self._clock,
            blocking=blocking,
            sleep=self._sleep,
            seal=seal,
            charge=charge,
            deliver=deliver,
            claim=claim,
            joining_s=max(0.0, join_window.closes_s - join_window.wait_s),
        )

    async def _ended(
        self, client: "AggregatorClient", turn: ActiveRound, error: AegisError
    ) -> CycleResult:
        """After a round that did not come to its end here: leave cleanly, and say why."""
        log.info(
            "round.ended id=%d code=%s charged=%s",
            turn.config.round_id,
            error.code,
            turn.is_charged,
        )
        closed = error.code in _CLOSED
        farewell = turn.farewell(error.code)
        if farewell is not None and not closed and error.code not in _LOST:
            try:
                await self._blocking(lambda: client.leave(turn.config.round_id, farewell))
            except AegisError as untold:
                log.info("round.leave_lost code=%s", untold.code)
        if not closed:
            raise error
        end = "The charge stands." if turn.is_charged else "Nothing was charged."
        return CycleResult(
            Outcome.ROUND_CLOSED,
            f"{error.message} {end}",
            round_id=turn.config.round_id,
            bytes_up=turn.bytes_up,
            bytes_down=turn.bytes_down,
        )


class _Line:
    """The connection of a round: counts bytes and notes that the server was told."""

    def __init__(self, client: "AggregatorClient", turn: ActiveRound) -> None:
        self._client = client
        self._turn = turn

    def send_phase(self, round_id: int, phase: str, body: bytes) -> None:
        self._turn.is_known = True
        self._client.send_phase(round_id, phase, body)
        self._turn.bytes_up += len(body)
        log.info("round.said id=%d phase=%s bytes=%d", round_id, phase, len(body))

    def inbox(self, round_id: int, after: str) -> bytes | None:
        heard = self._client.inbox(round_id, after)
        self._turn.bytes_down += len(heard or b"")
        return heard


def already(round_id: int, next_poll_s: int | None = None) -> CycleResult:
    return CycleResult(
        Outcome.ALREADY_CONTRIBUTED,
        "This device has taken part in this round.",
        round_id=round_id,
        next_poll_s=next_poll_s,
    )
