"""Runs a round in `secagg` mode: this device joins a group, and only the group's sum can be read.

1. The server announces when the group forms. This device joins with a finished update and checks
   every member itself (agent.secagg).
2. It joins a round, signs a set of survivors and unmasks once each. Each claim is durable before it
   takes effect (P10).
3. The update is sealed once the group is complete, then charged and stored before the first byte of
   the masked input leaves (P4).
4. Whatever ends the round early wipes its secrets. A group that can go on without this device gets
   a `leave`, which holds a code and no data (P2).
"""

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.consent.gate import Permit
from agent.errors import AegisError, PeerError, UserActionError
from agent.protocol.states import LeaveReason
from agent.rounds.admission import Admission
from agent.rounds.contribution import Contribution, RoundResources
from agent.rounds.join_window import JoinWindow
from agent.rounds.leave_sender import LeaveNotice
from agent.rounds.outcome import CycleResult, Outcome, TrainedUpdate, already_contributed
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.identity.identity import Identity
    from agent.privacy.policy import DeviceLimits
    from agent.protocol.messages import RoundConfig
    from agent.secagg.client import SecaggClient
    from agent.transport.client import AggregatorClient
    from agent.transport.round_session import Claim

log = logging.getLogger(__name__)

JOINED = "joined"
"""The first claim of a round, made before this device advertises."""
_CLOSED = frozenset({"ROUND_CLOSED", "NOT_IN_GROUP", "ALREADY_CONTRIBUTED"})
"""The round ended, or went on without this device. Neither is a fault."""
RosterAudit = Callable[["RoundConfig", bytes], Awaitable[None]]
_UNREACHABLE = frozenset(
    {"OFFLINE", "SERVER_BUSY", "SERVER_ERROR", "SERVER_CERTIFICATE", "REJECTED_IDENTITY"}
)
"""Errors after which a `leave` would not arrive either."""


@dataclass(frozen=True)
class GroupTrust:
    """What this device checks the members of a group against."""

    ca_pem: str
    revoked: frozenset[int]
    """Serial numbers of the revoked certificates."""
    check_roster: "RosterAudit | None" = None
    """Checks a roster against the authority's log, where the task asks for it; raises PeerError."""


@dataclass
class ActiveRound:
    """A round under way."""

    config: "RoundConfig"
    identity: "Identity"
    machine: "SecaggClient"
    is_known: bool = False
    """The server may have received something from this device."""
    is_charged: bool = False
    bytes_up: int = 0
    bytes_down: int = 0

    def leave(self, reason: LeaveReason) -> bytes | None:
        """Wipe the round's secrets at once.

        Return the `leave` to send; None when the group does not know this device or is past the
        point where it could leave.
        """
        known, self.is_known = self.is_known, False
        try:
            body = self.machine.leave(reason)
        except AegisError:  # it has unmasked: the round is over for this device
            body = None
        self.machine.wipe()
        return body if known else None


class SecaggRound:
    """Submits a finished update to a group, one round at a time."""

    def __init__(
        self,
        resources: RoundResources,
        blocking: Blocking,
        limits: "Callable[[], DeviceLimits]",
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._resources = resources
        self._blocking = blocking
        self._limits = limits
        self._sleep = sleep
        self._is_busy = False
        self._active: ActiveRound | None = None

    @property
    def may_leave(self) -> bool:
        """Whether a round is under way whose masked input is not charged yet."""
        return self._active is not None and not self._active.is_charged

    @property
    def is_busy(self) -> bool:
        """Whether this device is in a group or waits for one to form."""
        return self._is_busy

    @property
    def is_committed(self) -> bool:
        """Whether a round is under way whose masked input is charged."""
        return self._active is not None and self._active.is_charged

    def leave(self, reason: LeaveReason) -> LeaveNotice | None:
        """End the round under way. Its secrets are wiped when this returns.

        Return the notice to send, or None (see `ActiveRound.leave`).
        """
        active = self._active
        if active is None or (body := active.leave(reason)) is None:
            return None
        return LeaveNotice(active.config.round_id, body, active.identity)

    async def submit(
        self,
        permit: Permit,
        client: "AggregatorClient",
        config: "RoundConfig",
        update: TrainedUpdate,
        admission: Admission,
        join_window: JoinWindow,
        trust: GroupTrust,
    ) -> CycleResult:
        """Take part, from the join window until the sum can be opened.

        Raises PeerError with the code of the check that failed (agent.secagg.client),
        UserActionError BUDGET_SPENT, PeerError ADMISSION_OVER, and what worker, disk and network
        raise.
        """
        resources = self._resources
        self._is_busy = True
        try:
            resources.activity.send("Waiting for the group to form")
            await self._sleep(join_window.wait_s)
            permit.check()
            identity = client.identity
            if identity is None or not resources.ledger.claim(
                config.task_id, config.round_id, JOINED, resources.clock.now()
            ):
                return already_contributed(config.round_id)
            resources.activity.send("Joining the group")
            self._active = ActiveRound(config, identity, self._machine(config, identity, trust))
            contribution = Contribution(resources, permit, client, config, update, admission)
            channel = _Channel(permit, client, self._active, self._blocking, trust.check_roster)
            return await self._take_part(
                channel, client, self._active, contribution, update, join_window
            )
        finally:
            self._is_busy = False
            self._active = None

    def _machine(
        self, config: "RoundConfig", identity: "Identity", trust: GroupTrust
    ) -> "SecaggClient":
        from agent.secagg.client import SecaggClient

        return SecaggClient(
            config,
            identity.device_id,
            identity.certificate_pem,
            trust.ca_pem,
            identity.signer.sign,
            limits=self._limits(),
            entropy=os.urandom,
            now=self._resources.clock.now(),
            revoked=trust.revoked,
        )

    async def _take_part(
        self,
        channel: "_Channel",
        client: "AggregatorClient",
        active: ActiveRound,
        contribution: Contribution,
        update: TrainedUpdate,
        join_window: JoinWindow,
    ) -> CycleResult:
        from agent.transport.round_session import RoundSession

        config = active.config
        session = RoundSession(
            config,
            active.machine,
            channel,
            _GroupContribution(self._resources, contribution, active),
            clock=self._resources.clock,
            sleep=self._sleep,
            joining_s=max(0.0, join_window.closes_s - join_window.wait_s),
        )
        try:
            await session.run()
        except AegisError as error:
            return await self._end_early(client, active, error)
        up, down = active.bytes_up, active.bytes_down
        log.info("round.opened id=%d up=%d down=%d", config.round_id, up, down)
        text = "The update went into its group's sum; only the sum can be read."
        return CycleResult(Outcome.SENT, text, (), config.round_id, up, down, update.rows_used)

    async def _end_early(
        self, client: "AggregatorClient", active: ActiveRound, error: AegisError
    ) -> CycleResult:
        """Leave a round that `error` ended. Raise `error` again, unless the round just closed."""
        round_id = active.config.round_id
        log.info("round.ended id=%d code=%s charged=%s", round_id, error.code, active.is_charged)
        is_closed = error.code in _CLOSED
        # The error's own code could tell about this device: its memory, its disk, its rows.
        reason = LeaveReason.REFUSED if isinstance(error, PeerError) else LeaveReason.FAILED
        leave = active.leave(reason)
        if leave is not None and not is_closed and error.code not in _UNREACHABLE:
            try:
                await self._blocking(lambda: client.send_phase(round_id, "leave", leave))
            except AegisError as lost:
                log.info("round.leave_lost code=%s", lost.code)
        if not is_closed:
            raise error
        charge = "The charge stands." if active.is_charged else "Nothing was charged."
        return CycleResult(
            Outcome.ROUND_CLOSED,
            f"{error.message} {charge}",
            round_id=round_id,
            bytes_up=active.bytes_up,
            bytes_down=active.bytes_down,
        )


class _Channel:
    """Carries the round's messages off the event loop, under a live permit.

    Counts the bytes, notes once the server may know this device, and audits the roster where that
    is asked for: nothing is dealt to a member that fails.
    """

    def __init__(
        self,
        permit: Permit,
        client: "AggregatorClient",
        active: ActiveRound,
        blocking: Blocking,
        check_roster: RosterAudit | None,
    ) -> None:
        self._check_roster = check_roster
        self._permit = permit
        self._client = client
        self._active = active
        self._blocking = blocking

    async def send(self, phase: str, body: bytes) -> None:
        self._permit.check()
        round_id = self._active.config.round_id
        self._active.is_known = True  # before the first byte: it may arrive even if this fails
        await self._blocking(lambda: self._client.send_phase(round_id, phase, body))
        self._active.bytes_up += len(body)
        log.info("round.sent id=%d phase=%s bytes=%d", round_id, phase, len(body))

    async def inbox(self, after: str, dealer: int | None = None) -> bytes | None:
        self._permit.check()
        round_id = self._active.config.round_id
        body = await self._blocking(lambda: self._client.inbox(round_id, after, dealer))
        self._active.bytes_down += len(body or b"")
        if after == "advertise" and body is not None and self._check_roster is not None:
            await self._check_roster(self._active.config, body)
        return body


class _GroupContribution:
    """Seals, charges and sends this device's part of the sum."""

    def __init__(
        self, resources: RoundResources, contribution: Contribution, active: ActiveRound
    ) -> None:
        self._resources = resources
        self._contribution = contribution
        self._active = active

    async def seal(self) -> bytes:
        self._resources.activity.send("The group is complete; sealing the update")
        return await self._contribution.seal()

    def charge(self, body: bytes) -> None:
        from agent.transport.round_session import PHASE_LENGTHS

        if (refused := self._contribution.refusal()) is not None:
            raise UserActionError("BUDGET_SPENT", refused.text, "Nothing was charged or sent.")
        # Past this time the group can no longer use the masked input.
        useless_at = (
            self._resources.server_clock.now_or_local()
            + PHASE_LENGTHS * self._active.config.phase_s
        )
        self._contribution.charge(body, useless_at)
        self._active.is_charged = True
        self._active.bytes_up += len(body)
        self._resources.activity.send("Sending the masked update")

    async def deliver(self) -> None:
        await self._contribution.send()
        self._resources.activity.send("Waiting until the group's sum can be opened")

    def claim(self, claim: "Claim") -> bool:
        config, resources = self._active.config, self._resources
        return resources.ledger.claim(
            config.task_id, config.round_id, claim.value, resources.clock.now()
        )
