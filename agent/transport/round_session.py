"""Carries the device's state machine through the phases of one secure-aggregation round.

1. The state machine (agent.secagg) decides what is sent and what is refused. This module adds only
   order, waiting and repetition.
2. The masked input goes to `charge`, which pays for it and writes it to the outbox in one
   transaction; only then does `deliver` send it from there (P4).
3. `claim` makes "signed the survivors" and "unmasked" durable before they take effect. A claim that
   an earlier process made before it died ends the round for this device (P10).
4. Where shares of another device cannot be read, this device fetches what their dealer signed,
   complains and ends the round before anything is sealed.
5. A lost response is requested again with the same body until the phase ends. Round secrets are
   wiped however the round ends.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from functools import partial
from typing import Protocol, TypeVar

from agent.clock import Clock
from agent.errors import AegisError, PeerError
from agent.protocol.messages import RoundConfig
from agent.secagg.refusal import refused
from agent.transport.responses import RetryLater

T = TypeVar("T")
REPEAT_S = 2.0
"""Pause before a failed request is repeated."""
POLL_S = 1.0
"""Pause before the next request for a phase's outcome. The server may delay its response by another
second."""
REPEATABLE = frozenset({"OFFLINE", "SERVER_BUSY", "SERVER_ERROR"})
PHASE_LENGTHS = 2
"""The device gives a phase up after this many times its length. The server's clock decides when the
phase ends; ours only ends the waiting."""


class Phase(Enum):
    """The device's messages, in order. A value is the last part of the message's path.

    The masked input goes to /updates instead.
    """

    ADVERTISE = "advertise"
    SHARES = "shares"
    MASKED = "masked"
    CONSISTENCY = "consistency"
    UNMASK = "unmask"
    COMPLAINT = "complaint"
    """Instead of the masked input and all that follows."""


class Claim(Enum):
    """What a device does at most once in a round, restarts included."""

    SIGNED_SURVIVORS = "signed_survivors"
    UNMASKED = "unmasked"


class StateMachine(Protocol):
    """The device's part of the protocol (agent.secagg): bytes in, bytes out.

    Every method may raise PeerError, which ends the round for this device.
    """

    def advertise(self) -> bytes: ...

    def shares(self, roster: bytes) -> bytes: ...

    def accept_shares(self, inbox: bytes) -> tuple[int, ...]: ...

    def complaint(self, dealings: Mapping[int, bytes]) -> bytes | None: ...

    def mask(self, sealed: bytes) -> bytes: ...

    def consistency(self, survivors: bytes) -> bytes: ...

    def unmask(self, signatures: bytes) -> bytes: ...

    def wipe(self) -> None: ...


class RoundChannel(Protocol):
    """Carries one round's messages to the aggregator and back."""

    async def send(self, phase: str, body: bytes) -> None:
        """Send this device's message of a phase."""

    async def inbox(self, after: str, dealer: int | None = None) -> bytes | None:
        """Return the outcome of a phase for this device; None while it is under way.

        `dealer`: the signed message of this dealer instead.
        """


class RoundContribution(Protocol):
    """The update that a device brings into the round."""

    async def seal(self) -> bytes:
        """Seal the update, now that the group is complete."""

    def charge(self, body: bytes) -> None:
        """Pay for the masked input and store it."""

    async def deliver(self) -> None:
        """Send the stored masked input."""

    def claim(self, claim: Claim) -> bool:
        """Make a claim durable; return False if it was made before."""


class RoundSession:
    """Takes part in one round."""

    def __init__(
        self,
        config: RoundConfig,
        machine: StateMachine,
        channel: RoundChannel,
        contribution: RoundContribution,
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        joining_s: float = 0.0,
    ) -> None:
        """`joining_s`: seconds until the join window closes."""
        self._config = config
        self._machine = machine
        self._channel = channel
        self._contribution = contribution
        self._clock = clock
        self._sleep = sleep
        self._joining_s = joining_s

    async def run(self) -> None:
        """Take part until the sum can be opened.

        Raises PeerError from the machine's checks, ROUND_CLOSED or ROUND_LOST (a claim was made
        before), and what the network raises for longer than a phase. The ledger, not the error,
        says whether the device was charged.
        """
        machine = self._machine
        try:
            await self._send(Phase.ADVERTISE, machine.advertise())
            roster = await self._outcome(Phase.ADVERTISE, self._joining_s)
            await self._send(Phase.SHARES, machine.shares(roster))
            unreadable = machine.accept_shares(await self._outcome(Phase.SHARES))
            if unreadable:
                await self._complain(unreadable)
            self._contribution.charge(machine.mask(await self._contribution.seal()))
            await self._repeated(self._contribution.deliver)
            signature = machine.consistency(await self._outcome(Phase.MASKED))
            self._claim_once(Claim.SIGNED_SURVIVORS)
            await self._send(Phase.CONSISTENCY, signature)
            shares = machine.unmask(await self._outcome(Phase.CONSISTENCY))
            self._claim_once(Claim.UNMASKED)
            await self._send(Phase.UNMASK, shares)
        finally:
            machine.wipe()

    async def _complain(self, unreadable: tuple[int, ...]) -> None:
        """Accuse the dealers of shares that this device cannot read, and end the round.

        Raises PeerError SHARE_UNREADABLE.
        """
        dealings, deadline = {}, self._deadline()
        for dealer in unreadable:
            if self._clock.monotonic() > deadline:
                break
            dealing = await self._repeated(partial(self._channel.inbox, Phase.SHARES.value, dealer))
            if dealing is not None:
                dealings[dealer] = dealing
        complaint = self._machine.complaint(dealings)
        if complaint is not None:
            await self._send(Phase.COMPLAINT, complaint)
        raise refused("SHARE_UNREADABLE", "shares of another device cannot be read")

    def _claim_once(self, claim: Claim) -> None:
        if not self._contribution.claim(claim):
            raise PeerError(
                "ROUND_LOST",
                "This device restarted in the middle of the round and is left out of it.",
                "The charge stands.",
            )

    async def _send(self, phase: Phase, body: bytes) -> None:
        await self._repeated(lambda: self._channel.send(phase.value, body))

    async def _outcome(self, after: Phase, more_s: float = 0.0) -> bytes:
        """Wait for the outcome of a phase for this device."""
        deadline = self._deadline() + more_s
        while True:
            body = await self._repeated(lambda: self._channel.inbox(after.value))
            if body is not None:
                return body
            if self._clock.monotonic() > deadline:
                raise PeerError(
                    "ROUND_CLOSED",
                    "The group did not finish in time.",
                    "AegisAI takes part in a later round.",
                )
            await self._sleep(POLL_S)

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it succeeds. Repeat after a transient error until the phase ends."""
        deadline = self._deadline()
        while True:
            try:
                return await call()
            except AegisError as error:
                left_s = deadline - self._clock.monotonic()
                if error.code not in REPEATABLE or left_s < 0:
                    raise
                asked_s = error.retry_after_s if isinstance(error, RetryLater) else REPEAT_S
                # Whatever pause the server asks for, the phase ends.
                await self._sleep(max(REPEAT_S, min(asked_s, left_s)))

    def _deadline(self) -> float:
        return self._clock.monotonic() + PHASE_LENGTHS * self._config.phase_s
