"""One secure-aggregation round over HTTP: carries the device's state machine through its phases,
and nothing else.

1. The machine (agent.secagg) decides what is said and refuses what must be refused; here are only
   order, waiting and repetition.
2. The masked input is given to `charge`, which pays for it and writes it to the outbox in one
   transaction; only then `deliver` sends it from there (P4).
3. "Signed U3" and "unmasked" are made durable by `claim` before their effect; a claim that was made
   before, by a process that died, ends the round for this device (P10).
4. A lost answer is asked for again with the same body until the phase ends. Round secrets are wiped
   however the round ends.
"""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol, TypeVar

from agent.clock import Clock
from agent.errors import AegisError, PeerError
from agent.protocol.messages import RoundConfig
from agent.transport.answers import RetryLater
from agent.transport.blocking import Blocking

T = TypeVar("T")
REPEAT_S = 2.0
"""Pause before a request that failed is repeated."""
POLL_S = 1.0
"""Pause before it is asked again whether a phase is over; the server may hold the question for
another second."""
REPEATABLE = frozenset({"OFFLINE", "SERVER_BUSY", "SERVER_ERROR"})
PATIENCE = 2
"""A phase is given up after this many times its length: the server's clock decides, ours only ends
the waiting."""


class Phase(Enum):
    """The device's messages, in order; the values are the last part of their path.

    The masked input goes to /updates.
    """

    ADVERTISE = "advertise"
    SHARES = "shares"
    MASKED = "masked"
    CONSISTENCY = "consistency"
    UNMASK = "unmask"


class Claim(Enum):
    """What a device does at most once in a round, restarts included."""

    SIGNED_SURVIVORS = "signed_survivors"
    UNMASKED = "unmasked"


class Machine(Protocol):
    """The device's part of the protocol: bytes in, bytes out.

    Every method may raise PeerError; then the round is over for this device.
    """

    def advertise(self) -> bytes: ...

    def shares(self, roster: bytes) -> bytes: ...

    def accept_shares(self, inbox: bytes) -> None: ...

    def mask(self, sealed: bytes) -> bytes: ...

    def consistency(self, survivors: bytes) -> bytes: ...

    def unmask(self, signatures: bytes) -> bytes: ...

    def wipe(self) -> None: ...


class Line(Protocol):
    """What the session needs of `AggregatorClient` (blocking)."""

    def send_phase(self, round_id: int, phase: str, body: bytes) -> None: ...

    def inbox(self, round_id: int, after: str) -> bytes | None: ...


class RoundSession:
    """Takes part in one round."""

    def __init__(
        self,
        config: RoundConfig,
        machine: Machine,
        line: Line,
        *,
        clock: Clock,
        blocking: Blocking,
        sleep: Callable[[float], Awaitable[None]],
        seal: Callable[[], Awaitable[bytes]],
        charge: Callable[[bytes], None],
        deliver: Callable[[], Awaitable[None]],
        claim: Callable[[Claim], bool],
        joining_s: float = 0.0,
    ) -> None:
        """`claim` makes a flag durable and is False when it was set before.

        `joining_s`: what is left of the join window.
        """
        self._config = config
        self._machine = machine
        self._line = line
        self._clock = clock
        self._blocking = blocking
        self._sleep = sleep
        self._seal = seal
        self._charge = charge
        self._deliver = deliver
        self._claim = claim
        self._joining_s = joining_s

    async def run(self) -> None:
        """Take part until the sum can be opened.

        Raises PeerError of the machine's checks, ROUND_CLOSED, ROUND_LOST (a claim had been made),
        and what the network raises for longer than a phase. Whether the device was charged is in
        the ledger, not in the error.
        """
        machine = self._machine
        try:
            await self._say(Phase.ADVERTISE, machine.advertise())
            roster = await self._hear(Phase.ADVERTISE, self._joining_s)
            await self._say(Phase.SHARES, machine.shares(roster))
            machine.accept_shares(await self._hear(Phase.SHARES))
            self._charge(machine.mask(await self._seal()))
            await self._repeated(self._deliver)
            answer = machine.consistency(await self._hear(Phase.MASKED))
            self._once(Claim.SIGNED_SURVIVORS)
            await self._say(Phase.CONSISTENCY, answer)
            answer = machine.unmask(await self._hear(Phase.CONSISTENCY))
            self._once(Claim.UNMASKED)
            await self._say(Phase.UNMASK, answer)
        finally:
            machine.wipe()

    def _once(self, claim: Claim) -> None:
        if not self._claim(claim):
            raise PeerError(
                "ROUND_LOST",
                "This device was restarted in the middle of the round and is left out of it.",
                "The charge stands.",
            )

    async def _say(self, phase: Phase, body: bytes) -> None:
        await self._repeated(
            lambda: self._blocking(
                lambda: self._line.send_phase(self._config.round_id, phase.value, body)
            )
        )

    async def _hear(self, after: Phase, more_s: float = 0.0) -> bytes:
        """The outcome of a phase for this device."""
        deadline = self._deadline() + more_s
        while True:
            heard = await self._repeated(
                lambda: self._blocking(lambda: self._line.inbox(self._config.round_id, after.value))
            )
            if heard is not None:
                return heard
            if self._clock.monotonic() > deadline:
                raise PeerError(
                    "ROUND_CLOSED",
                    "The group did not finish in time.",
                    "AegisAI takes part in a later round.",
                )
            await self._sleep(POLL_S)

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it answers; what is worth repeating is repeated until the phase ends."""
        deadline = self._deadline()
        while True:
            try:
                return await call()
            except AegisError as error:
                left_s = deadline - self._clock.monotonic()
                if error.code not in REPEATABLE or left_s < 0:
                    raise
                wanted_s = error.retry_after_s if isinstance(error, RetryLater) else REPEAT_S
                await self._sleep(
                    max(REPEAT_S, min(wanted_s, left_s))
                )  # whatever the server wants, the phase ends

    def _deadline(self) -> float:
        return self._clock.monotonic() + PATIENCE * self._config.phase_s
