"""Brings one finished update into one round: sealed, charged, sent, in this order (P4)."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.rounds.activity import ActivityTracker
from agent.rounds.admission import Admission
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.outbox import Outbox, check_sealed
from agent.rounds.outcome import CycleResult, TrainedUpdate
from agent.store.ledger import Ledger, OutboxEntry
from agent.transport.server_clock import ServerClock

if TYPE_CHECKING:
    from agent.protocol.messages import RoundConfig
    from agent.supervisor.worker import Worker
    from agent.transport.client import AggregatorClient


@dataclass(frozen=True)
class RoundResources:
    """The collaborators of a round, in either mode."""

    clock: Clock
    server_clock: ServerClock
    ledger: Ledger
    outbox: Outbox
    budget_gate: BudgetGate
    worker: "Callable[[], Worker]"
    activity: ActivityTracker


class Contribution:
    """One attempt to bring `update` into the round of `config`."""

    def __init__(
        self,
        resources: RoundResources,
        permit: Permit,
        client: "AggregatorClient",
        config: "RoundConfig",
        update: TrainedUpdate,
        admission: Admission,
    ) -> None:
        self._resources = resources
        self._permit = permit
        self._client = client
        self._config = config
        self._update = update
        self._admission = admission
        self.attempt = secrets.token_hex(16)

    async def seal(self) -> bytes:
        """Have the worker seal the update, then check the envelope: the worker is not trusted.

        Raises InternalError SEAL_BROKEN and what the worker raises.
        """
        self._permit.check()
        body = await self._resources.worker().seal(
            self._config, os.fspath(self._update.scratch), self._update.job_key, self.attempt
        )
        check_sealed(body, self._config, self.attempt)
        self._permit.check()
        return body

    def refusal(self) -> CycleResult | None:
        """Return why this device may not pay for the round, or None."""
        config = self._config
        return self._resources.budget_gate.refusal(
            config.task_id, config.model_version, config.model_digest, config
        )

    def charge(self, body: bytes, closes_at: int) -> None:
        """Charge for `body` and store it. Both are durable when this returns.

        Raises PeerError ADMISSION_OVER, UserActionError DISK_FULL: nothing was charged.
        """
        self._permit.check()
        self._admission.check(self._resources.clock)
        self._resources.outbox.charge(
            self._config, self.attempt, body, closes_at, self._admission.head
        )

    async def send(self) -> OutboxEntry:
        """Send the stored bytes. Raises what `Outbox.send` raises."""
        return await self._resources.outbox.send(self._permit, self._client, self.attempt)
