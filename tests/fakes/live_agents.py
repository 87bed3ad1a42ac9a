"""Whole agents of one real aggregator: real rounds over TLS, real training, the product's own
limits, and a clock that the test moves.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from agent.errors import AegisError
from agent.privacy.zcdp import epsilon
from agent.protocol.invitation import Invitation, PrivacyFigures, format_invitation
from agent.protocol.messages import Mode
from server_stub.config.limits import Rate, Rates
from server_stub.demo.inprocess_worker import InProcessWorker
from server_stub.rounds.lifecycle import State
from tests.fakes.clock import FakeClock
from tests.fakes.device import Device
from tests.fakes.live_server import LiveServer

UNLIMITED = Rate(1_000_000, 100_000.0)
ENDED = (State.DONE, State.ABANDONED)
DELTA = 1e-5
PATIENCE_S = 3.0
"""How long agents that are ready ask for a round after the last of the others has become ready."""


@dataclass(frozen=True)
class Ended:
    """How a round, or the lack of one, ended for the agents."""

    round: object
    """The round as the server's database has it; None when the agents let none begin."""
    outcomes: Counter
    """How many agents' cycles ended in each way."""
    reasons: Counter
    """Why the agents waited: (code, until)."""
    charged: int
    """Agents that paid for it."""


class LiveAgents:
    """`size` agents; the test may enrol other devices besides. A context manager."""

    def __init__(self, folder, size, **options):
        """`options` are settings of the server. A window is announced once `size` are ready."""
        self.clock = FakeClock(int(time.time()))
        self.folder, self.size = folder, size
        self.server = LiveServer(
            folder,
            clock=self.clock,
            rates=Rates(*[UNLIMITED] * 5),
            **{
                "mode": Mode.SECAGG,
                "lead_s": 0,
                "join_s": 60,
                "next_poll_s": 1,
                "ready_target": size,
                **options,
            },
        )
        self.devices = []
        self._moved_at = 0.0

    async def __aenter__(self):
        await asyncio.to_thread(self.server.__enter__)
        for number in range(self.size):
            home = self.folder / f"d{number}"
            home.mkdir()
            self.devices.append(
                Device(
                    home,
                    clock=self.clock,
                    worker=lambda _: InProcessWorker(),
                    client_factory=None,
                    sleep=lambda _: asyncio.sleep(0.05),
                )
            )
        invitation = self._invitation()
        for device in self.devices:
            await device.call("enroll", invitation=invitation)
            await device.grant()
            device.add_rows(20)
        return self

    async def __aexit__(self, *_):
        for device in self.devices:
            device.close()
        await asyncio.to_thread(self.server.__exit__)

    def _invitation(self):
        server, home = self.server, self.server.home
        plan, key = server.settings.rounds, home.signing_key()
        figures = PrivacyFigures(
            Mode.SECAGG,
            plan.epsilon_milli,
            plan.delta_inverse,
            server.settings.period_days,
            server.settings.lifetime_epsilon_milli,
        )
        return format_invitation(
            Invitation(
                server.url,
                server.token(uses=self.size, ttl_s=24 * 3600),
                home.ca_pem,
                server.signing_key,
                server.settings.task.task_id,
                home.root_sha256(),
                server.settings.operator,
                figures,
            ),
            key,
        )

    async def round(self):
        """Let every agent run cycles until one round has ended, or so few want one that none opens
        for PATIENCE_S.
        """
        before, charges = self._ended(), self._charges()
        self._moved_at = time.monotonic()
        results = await asyncio.gather(*(self._follow(device, before) for device in self.devices))
        newest = self.server.view.rounds.newest()
        paid = sum(new > old for new, old in zip(self._charges(), charges, strict=True))
        return Ended(
            newest if self._ended() != before else None,
            Counter(outcome for outcome, _ in results),
            Counter(reason for _, reasons in results for reason in reasons),
            paid,
        )

    async def _follow(self, device, before):
        """Run one agent's cycles until it has taken part or waits for something else than a round;
        return how the last one ended.
        """
        was_ready = False
        while True:
            outcome, reasons = await _cycle(device)
            is_ready = outcome == "ready"
            newest = self.server.view.rounds.newest()
            if is_ready != was_ready or (newest is not None and newest.state not in ENDED):
                self._moved_at, was_ready = time.monotonic(), is_ready
            is_over = self._ended() != before or time.monotonic() > self._moved_at + PATIENCE_S
            if not is_ready or is_over:
                return outcome, reasons
            await asyncio.sleep(0.1)

    def epsilon(self):
        """ε of the agent that has spent most, by its own ledger."""
        return epsilon(max(self.spent()), DELTA)

    def spent(self):
        """ρ that each agent has spent, in units."""
        return [
            sum(charge.rho_units for charge in device.agent.ledger.charges())
            for device in self.devices
        ]

    def _charges(self):
        return [len(device.agent.ledger.charges()) for device in self.devices]

    def _ended(self):
        newest = self.server.view.rounds.newest()
        if newest is None:
            return 0
        return newest.round_id if newest.state in ENDED else newest.round_id - 1


async def _cycle(device):
    try:
        result = await device.run_cycle()
    except AegisError as error:
        return error.code, ()
    return result.outcome.value, [(one.code.value, one.until) for one in result.reasons]
