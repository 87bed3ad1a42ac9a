"""Holds the objects of one device. `agent.app.build` makes them; nothing here decides anything."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.clock import Clock
from agent.conditions.interface import Conditions
from agent.config.effective import EffectiveConfig
from agent.config.pause import Pause
from agent.consent.gate import Gate
from agent.consent.record import Record
from agent.enrolment.client import EnrolmentClient
from agent.enrolment.scanning_models import ScanningModels
from agent.identity.key_store_choice import KeyStoreChoice
from agent.models.store import ModelStore
from agent.paths import Home
from agent.rounds.checkpoint import CheckpointStore
from agent.rounds.collector import Collector
from agent.rounds.cycles import Cycles
from agent.rounds.readiness import Readiness
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.status import Status
from agent.store.database import Database
from agent.store.ledger import Ledger
from agent.store.samples import Samples
from agent.store.values import Values
from agent.supervisor.worker_host import WorkerHost
from agent.transport.blocking import BlockingPool
from agent.transport.connections import Connections


class Service(Protocol):
    """Answers the methods of the local channel (agent.api.methods)."""

    @property
    def names(self) -> frozenset[str]: ...

    async def call(
        self, name: str, params: dict[str, Any], report: Callable[[int, int], None] = ...
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False, repr=False)
class Agent:
    """All objects of one device. Close it when done."""

    home: Home
    clock: Clock
    environ: Mapping[str, str]

    # What is stored.
    database: Database
    values: Values
    ledger: Ledger
    samples: Samples
    models: ModelStore
    checkpoints: CheckpointStore
    keys: KeyStoreChoice

    # What the person, IT and the machine allow.
    effective: EffectiveConfig
    record: Record
    gate: Gate
    pause: Pause
    conditions: Conditions
    readiness: Readiness

    # What does the work.
    blocking_pool: BlockingPool
    connections: Connections
    enrolment_client: EnrolmentClient
    scanning_models: ScanningModels
    worker_host: WorkerHost
    collector: Collector
    runner: RoundRunner
    cycles: Cycles
    signals: Signals

    # How clients reach it. Higher layers implement these, so only their types are known here.
    status: Callable[[], Status]
    """Returns the Status as it is now."""
    service: Service
    resume_erasure: Callable[[], Awaitable[bool]]
    """Finishes an earlier erasure; returns True when nothing is left to do."""

    def close(self) -> None:
        """Close the store without waiting for blocking calls under way."""
        self.blocking_pool.close()
        self.database.close()
