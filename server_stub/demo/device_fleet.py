"""Simulated devices in one process: each is a whole agent on a home of its own that the
demonstration made, with the same client code over real TLS. Only three things differ from a
person's device: keys are in memory, jobs run in a thread (nobody's files are opened), and the
consent is simulated (surface "demo"), which the gate accepts in such a home and with a server on
this machine only.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from agent.app import Overrides, build
from agent.config.device_limits import mark
from agent.consent.gate import DEMO_SURFACE
from agent.container import Agent
from agent.errors import AegisError, UserActionError
from agent.paths import Home
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import epsilon
from agent.protocol.messages import Mode
from agent.rounds.outcome import Outcome
from agent.transport.client import AggregatorClient
from agent.transport.statements import Receipt
from server_stub.demo.inprocess_worker import InProcessWorker
from server_stub.simulation.data import Share

if TYPE_CHECKING:
    from agent.identity.identity import Identity

AT_ONCE = 8
"""Devices that enrol, or take part in a local-mode round, at the same time: more only wait for the
processor."""
LOOK_S = 1.0
"""How often neighbours look for a round when none is open."""
AGAIN_S = 0.2
TIMEOUT_S = 5
BRISK_S = 0.5
"""Simulated devices ask more often than a person's: nobody wants to watch them wait. All times are
still the server's."""
POLL_S = 2.0
VANISHED = "DEMO_VANISHED"
TRIES, AFTER_FAULT_S = 5, 1.0
"""A pass that failed (a busy machine let a request time out) is made again: the others would wait
for this device in vain."""
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_AGAIN = frozenset(
    outcome.value
    for outcome in (
        Outcome.NO_ROUND,
        Outcome.READY,
        Outcome.ROUND_CLOSED,
        Outcome.ALREADY_CONTRIBUTED,
        Outcome.WAITING,
    )
)
"""Too early, or an update of an earlier round was found waiting and is settled now."""


@dataclass
class Traffic:
    """Bodies of a device's requests and of their answers, in bytes; headers and TLS apart."""

    up: int = 0
    down: int = 0

    def count(self, up: int, down: int) -> None:
        """Add one exchange."""
        self.up += up
        self.down += down


@dataclass(frozen=True)
class DeviceResult:
    """How a device's part in a round ended."""

    device: int
    outcome: str
    """An outcome of a pass, or the code of its error; DEMO_VANISHED where the demonstration took
    the device away."""
    text: str = ""

    @property
    def is_sent(self) -> bool:
        return self.outcome == Outcome.SENT.value

    @property
    def is_late(self) -> bool:
        """The round ended before it was done."""
        return self.outcome == Outcome.ROUND_CLOSED.value


class DemoClient(AggregatorClient):
    """The device's own client; it can drop out before a message."""

    vanish_before: str = ""
    of_earlier_rounds: frozenset[str] = frozenset()
    """SHA-256 of updates that are only settled now: the device does not vanish over them."""

    def send_update(self, body: bytes) -> Receipt:
        """As the parent."""
        if hashlib.sha256(body).hexdigest() not in self.of_earlier_rounds:
            self._vanish("masked")
        return super().send_update(body)

    def send_phase(self, round_id: int, phase: str, body: bytes) -> None:
        """As the parent."""
        self._vanish(phase)
        super().send_phase(round_id, phase, body)

    def _vanish(self, phase: str) -> None:
        if phase == self.vanish_before:
            self.close()
            raise UserActionError(VANISHED, "The demonstration took this device away.", "")


class Device:
    """One simulated device."""

    def __init__(self, number: int, folder: Path, share: Share, floor: DeviceLimits | None) -> None:
        self.number = number
        self.traffic = Traffic()
        self.vanish_before = ""
        self._of_earlier_rounds: frozenset[str] = frozenset()
        self._share = share
        environ = {
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "AEGIS_POLICY": str(folder / "no-policy"),
        }
        home = Home(folder / f"device-{number:04d}")
        home.prepare()
        mark(home, floor)
        self.agent: Agent = build(
            home.root,
            Overrides(
                worker=InProcessWorker(),
                client_factory=self._client,
                environ=environ,
                sleep=_brisk,
            ),
        )

    async def join(self, invitation: str) -> None:
        """Take the invitation, say the simulated yes, hold the rows, register."""
        call = self.agent.service.call
        await call("enroll", {"invitation": invitation})
        notice = await call("consent.show", {})
        decision = {name: notice[name] for name in ("notice_id", "text_sha256", "locale")}
        await call("consent.grant", {**decision, "surface": DEMO_SURFACE})
        rows = zip(self._share.rows.tolist(), self._share.labels.tolist(), strict=True)
        self.agent.samples.add(
            [(row, label, "generated") for row, label in rows], self.agent.clock.now()
        )
        client = await self.agent.enrolment_client.connect(self.agent.gate.permit())
        client.close()
        self.traffic.up = self.traffic.down = 0

    async def take_part(
        self, *, until: Callable[[], bool], vanish_before: str = ""
    ) -> DeviceResult:
        """Passes, until one says how it ended for this device or `until` holds.

        A pass that fails is made again, a few times.
        """
        self.vanish_before = vanish_before
        self._of_earlier_rounds = frozenset(entry.sha256 for entry in self.agent.ledger.unsent())
        failures = 0
        try:
            while True:
                part = await self._pass()
                is_fault = part.outcome not in _OUTCOMES
                failures += is_fault
                is_again = failures < TRIES if is_fault else part.outcome in _AGAIN
                if not is_again or part.outcome == VANISHED or until():
                    return part
                await asyncio.sleep(AFTER_FAULT_S if is_fault else AGAIN_S)
        finally:
            self.vanish_before = ""

    async def _pass(self) -> DeviceResult:
        try:
            result = await self.agent.cycles.run(hold_s=0, group_wait_s=TIMEOUT_S)
        except AegisError as error:
            return DeviceResult(self.number, error.code, error.message)
        return DeviceResult(self.number, result.outcome.value, result.text)

    @property
    def rho_units(self) -> tuple[int, int]:
        """What this device's ledger says was spent; and what it would be if the protection of the
        sums failed.
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
        client.vanish_before = self.vanish_before
        client.of_earlier_rounds = self._of_earlier_rounds
        return client


async def _brisk(seconds: float) -> None:
    await asyncio.sleep(min(seconds, BRISK_S) if seconds <= POLL_S else seconds)


class Fleet:
    """Simulated devices.

    Make it, `join`, then call `round` for every round that the aggregator opens; `close` when done.
    """

    def __init__(
        self,
        folder: Path,
        shares: Sequence[Share],
        *,
        mode: Mode = Mode.LOCAL,
        floor: DeviceLimits | None = None,
    ) -> None:
        """One device for each share, with homes in `folder`.

        `floor`: bounds on groups below the product's; every status says them.
        """
        self.devices = tuple(
            Device(number, folder, share, floor) for number, share in enumerate(shares)
        )
        self._joining = asyncio.Semaphore(AT_ONCE)
        self._turn = asyncio.Semaphore(AT_ONCE if mode is Mode.LOCAL else max(1, len(self.devices)))

    async def join(self, invitation: str, told: Callable[[], None] = lambda: None) -> None:
        """All of them take the same invitation and register; `told` hears of each.

        Raises what the server raises.
        """

        async def one(device: Device) -> None:
            async with self._joining:
                await device.join(invitation)
            told()

        await asyncio.gather(*(one(device) for device in self.devices))

    async def round(
        self,
        vanishing: Mapping[int, str] | None = None,
        *,
        until: Callable[[], bool] = lambda: True,
        told: Callable[[DeviceResult], None] = lambda _: None,
    ) -> tuple[DeviceResult, ...]:
        """Every device takes part in one round.

        `vanishing`: device number → the message before which it goes away ("masked" is the update).
        A device that is too early or too late for the round looks again while `until` does not
        hold. `told` hears each part as it ends.
        """
        gone = vanishing or {}

        async def one(device: Device) -> DeviceResult:
            async with self._turn:
                part = await device.take_part(
                    until=until, vanish_before=gone.get(device.number, "")
                )
            told(part)
            return part

        return tuple(await asyncio.gather(*(one(device) for device in self.devices)))

    async def accompany(self, until: asyncio.Event) -> None:
        """Neighbours of a person's device: take part in whatever is open, again and again, until
        told.
        """
        while not until.is_set():
            parts = await self.round()
            if not any(part.is_sent for part in parts):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), LOOK_S)

    def traffic(self) -> Traffic:
        """Of all devices since they joined."""
        return Traffic(
            sum(device.traffic.up for device in self.devices),
            sum(device.traffic.down for device in self.devices),
        )

    def epsilon_spent(self, delta: float) -> tuple[float, float]:
        """ε of the device that spent most, by its own ledger; and what it would be if the
        protection of the sums failed.
        """
        spent = [device.rho_units for device in self.devices] or [(0, 0)]
        return epsilon(max(ledger for ledger, _ in spent), delta), epsilon(
            max(local for _, local in spent), delta
        )

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
