"""Simulated devices in one process.

Each is a whole agent in its own home, with the same client code over real TLS. Only three things
differ from a person's device: keys are in memory, jobs run in a thread because no person's files
are opened, and consent is simulated (surface "demo"), which the gate accepts only in a home that
the demonstration made and with a server on this machine.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from agent.app import Overrides, build
from agent.config.device_limits import mark_demo
from agent.config.policy_file import PolicyPlace
from agent.consent.gate import DEMO_SURFACE
from agent.container import Agent
from agent.errors import AegisError, UserActionError
from agent.paths import Home
from agent.privacy.policy import DeviceLimits
from agent.protocol.ledger_heads import HeadStep
from agent.protocol.messages import Mode
from agent.protocol.sources import Source
from agent.rounds.outcome import Outcome
from agent.store.samples import NewRow
from agent.transport.client import AggregatorClient
from agent.transport.statements import Receipt
from server_stub.demo.inprocess_worker import InProcessWorker
from server_stub.simulation.data import Share

if TYPE_CHECKING:
    from agent.identity.identity import Identity

CONCURRENT = 8
"""Devices that enrol, or take part in a local-mode round, at the same time: more would only wait
for the processor."""
NO_ROUND_S = 1.0
"""Pause of devices that follow rounds while none is open."""
RETRY_S = 0.2
GROUP_WAIT_S = 5
MAX_POLL_S, POLL_IN_PHASE_S = 0.5, 2.0
"""Simulated devices poll within a phase every half second instead of every two, so that a person
who watches does not wait. Deadlines are still the server's."""
DROPPED_OUT = "DEMO_VANISHED"
MAX_FAILURES, AFTER_FAILURE_S = 5, 1.0
"""A failed cycle (on a busy machine a request may time out) is repeated: otherwise the other
devices would wait for this one in vain."""
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_NOT_YET = frozenset(
    outcome.value
    for outcome in (
        Outcome.NO_ROUND,
        Outcome.READY,
        Outcome.ROUND_CLOSED,
        Outcome.ALREADY_CONTRIBUTED,
        Outcome.WAITING,
    )
)
"""Too early for the round, or the cycle delivered an update of an earlier round first."""


@dataclass
class Traffic:
    """Bytes in the bodies of requests and answers, without headers and TLS."""

    up: int = 0
    down: int = 0

    def count(self, up: int, down: int) -> None:
        """Add one exchange."""
        self.up += up
        self.down += down


@dataclass(frozen=True)
class DeviceResult:
    """How a round ended for one device."""

    device: int
    outcome: str
    """An outcome of a cycle, or the code of its error; DROPPED_OUT where the demonstration made the
    device drop out."""
    text: str = ""

    @property
    def is_sent(self) -> bool:
        return self.outcome == Outcome.SENT.value

    @property
    def is_late(self) -> bool:
        """Whether the round ended before the device was done."""
        return self.outcome == Outcome.ROUND_CLOSED.value


async def run_cycles(
    run_cycle: Callable[[], Awaitable[DeviceResult]], until: Callable[[], bool]
) -> DeviceResult:
    """Run cycles until one decides how the round ends for its device, or `until()` holds.

    A failed cycle is repeated up to MAX_FAILURES times in all.
    """
    failures = 0
    while True:
        result = await run_cycle()
        has_failed = result.outcome not in _OUTCOMES
        failures += has_failed
        try_again = failures < MAX_FAILURES if has_failed else result.outcome in _NOT_YET
        if not try_again or result.outcome == DROPPED_OUT or until():
            return result
        await asyncio.sleep(AFTER_FAILURE_S if has_failed else RETRY_S)


class DemoClient(AggregatorClient):
    """The device's own client; it drops out before a message where it should."""

    drop_out_before: str = ""
    of_earlier_rounds: frozenset[str] = frozenset()
    """SHA-256 of updates from earlier rounds that are only delivered now: the device does not drop
    out over them."""

    def send_update(self, body: bytes, step: HeadStep | None = None) -> Receipt:
        """As in AggregatorClient; may drop out."""
        if hashlib.sha256(body).hexdigest() not in self.of_earlier_rounds:
            self._drop_out("masked")
        return super().send_update(body, step)

    def send_phase(self, round_id: int, phase: str, body: bytes) -> None:
        """As in AggregatorClient; may drop out."""
        self._drop_out(phase)
        super().send_phase(round_id, phase, body)

    def _drop_out(self, phase: str) -> None:
        if phase == self.drop_out_before:
            # Closed first: a device that vanishes sends nothing more, not even its `leave`.
            self.close()
            raise UserActionError(DROPPED_OUT, "The demonstration made this device drop out.", "")


class Device:
    """One simulated device."""

    def __init__(
        self, number: int, folder: Path, share: Share, limits: DeviceLimits | None
    ) -> None:
        """`limits`: on groups, instead of the product's."""
        self.number = number
        self.traffic = Traffic()
        self.drop_out_before = ""
        self._of_earlier_rounds: frozenset[str] = frozenset()
        self._share = share
        environ = {
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }
        home = Home(folder / f"device-{number:04d}")
        home.prepare()
        mark_demo(home, limits)
        self.agent: Agent = build(
            home.root,
            Overrides(
                worker=InProcessWorker(),
                client_factory=self._client,
                environ=environ,
                policy_place=PolicyPlace(folder / "no-policy"),
                sleep=_sleep_briefly,
            ),
        )

    async def join(self, invitation: str) -> None:
        """Store the invitation, grant the simulated consent, add the rows and register.

        Raises AegisError.
        """
        call = self.agent.service.call
        await call("enroll", {"invitation": invitation})
        notice = await call("consent.show", {})
        decision = {name: notice[name] for name in ("notice_id", "text_sha256", "locale")}
        await call("consent.grant", {**decision, "surface": DEMO_SURFACE})
        rows = zip(self._share.rows.tolist(), self._share.labels.tolist(), strict=True)
        self.agent.samples.add(
            [NewRow(row, label, Source.TABLE) for row, label in rows], self.agent.clock.now()
        )
        client = await self.agent.enrolment_client.connect(self.agent.gate.permit())
        client.close()
        # Enrolment happens once; the report states the traffic of a round.
        self.traffic.up = self.traffic.down = 0

    async def take_part(
        self, *, until: Callable[[], bool], drop_out_before: str = ""
    ) -> DeviceResult:
        """Take part in one round, as `run_cycles` does it."""
        # Each cycle makes a client of its own (`_client`) with what is set here.
        self.drop_out_before = drop_out_before
        self._of_earlier_rounds = frozenset(entry.sha256 for entry in self.agent.ledger.unsent())
        try:
            return await run_cycles(self._run_cycle, until)
        finally:
            self.drop_out_before = ""

    async def _run_cycle(self) -> DeviceResult:
        try:
            # No hold: a person's device waits before it seals, so that the person can object.
            result = await self.agent.cycles.run(hold_s=None, group_wait_s=GROUP_WAIT_S)
        except AegisError as error:
            return DeviceResult(self.number, error.code, error.message)
        return DeviceResult(self.number, result.outcome.value, result.text)

    @property
    def rho_units(self) -> tuple[int, int]:
        """What this device has spent by its own ledger, and what it would have spent if the
        protection of the sums failed.
        """
        charges = self.agent.ledger.charges()
        return sum(charge.rho_units for charge in charges), sum(
            charge.rho_local_units for charge in charges
        )

    def close(self) -> None:
        self.agent.close()

    def _client(
        self, server: str, ca_pem: str, signing_key: str, identity: "Identity | None"
    ) -> AggregatorClient:
        client = DemoClient(server, ca_pem, signing_key, identity, meter=self.traffic.count)
        client.drop_out_before = self.drop_out_before
        client.of_earlier_rounds = self._of_earlier_rounds
        return client


async def _sleep_briefly(seconds: float) -> None:
    # Longer waits are not polls within a phase, and stay as long as they are.
    await asyncio.sleep(min(seconds, MAX_POLL_S) if seconds <= POLL_IN_PHASE_S else seconds)


class Fleet:
    """The simulated devices of one demonstration.

    Call `join` once, then `round` for each round that the aggregator opens. A context manager:
    leaving closes the devices.
    """

    def __init__(
        self,
        folder: Path,
        shares: Sequence[Share],
        *,
        mode: Mode = Mode.LOCAL,
        limits: DeviceLimits | None = None,
    ) -> None:
        """One device for each share, with homes in `folder`.

        `limits`: on groups, below the product's; each device's status shows them.
        """
        self.devices = tuple(
            Device(number, folder, share, limits) for number, share in enumerate(shares)
        )
        self._enrolments = asyncio.Semaphore(CONCURRENT)
        # The devices of a group wait for each other, so all of them must run at the same time.
        self._rounds = asyncio.Semaphore(
            CONCURRENT if mode is Mode.LOCAL else max(1, len(self.devices))
        )

    async def join(self, invitation: str, on_joined: Callable[[], None] = lambda: None) -> None:
        """Enrol every device with the same invitation; `on_joined` is called after each.

        Raises AegisError.
        """

        async def one(device: Device) -> None:
            async with self._enrolments:
                await device.join(invitation)
            on_joined()

        await asyncio.gather(*(one(device) for device in self.devices))

    async def round(
        self,
        drop_outs: Mapping[int, str] | None = None,
        *,
        until: Callable[[], bool] = lambda: True,
        on_result: Callable[[DeviceResult], None] = lambda _: None,
    ) -> tuple[DeviceResult, ...]:
        """Let every device take part in one round.

        `drop_outs`: the message before which each of these devices drops out, by device number
        ("masked" is the update). A device that is too early for the round tries again until
        `until()` holds. `on_result` is called with each result.
        """
        before = drop_outs or {}

        async def one(device: Device) -> DeviceResult:
            async with self._rounds:
                result = await device.take_part(
                    until=until, drop_out_before=before.get(device.number, "")
                )
            on_result(result)
            return result

        return tuple(await asyncio.gather(*(one(device) for device in self.devices)))

    async def follow_rounds(self, until: asyncio.Event) -> None:
        """Take part in one round after the other until the event is set."""
        while not until.is_set():
            results = await self.round()
            if not any(result.is_sent for result in results):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), NO_ROUND_S)

    def traffic(self) -> Traffic:
        """The bytes of all devices together since they joined."""
        return Traffic(
            sum(device.traffic.up for device in self.devices),
            sum(device.traffic.down for device in self.devices),
        )

    def ledgers(self) -> tuple[tuple[int, int], ...]:
        """For each device the units of ρ that its ledger charged, and those that its own noise
        alone would have cost.
        """
        return tuple(device.rho_units for device in self.devices)

    def close(self) -> None:
        for device in self.devices:
            device.close()

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
