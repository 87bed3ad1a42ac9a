"""Builds every object of an agent, wires them, and recovers from a crash; nothing else constructs.

`build` makes the parts that everything uses, then cycles, reports and methods. The demo and the
tests build their agents in the same way, with `Overrides` for what they replace.
"""

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.api.consent import ConsentMethods, PreviewMethods
from agent.api.enrolment import EnrolmentMethods
from agent.api.erase_request import EraseRequests
from agent.api.erasure import Erasure
from agent.api.ledger import LedgerMethods
from agent.api.lifecycle import LifecycleMethods
from agent.api.local_data import LocalData
from agent.api.methods import Service
from agent.api.personal_data import PersonalDataMethods
from agent.api.samples import SampleMethods
from agent.api.scanning import ScanMethods
from agent.api.settings import SettingsMethods
from agent.api.sources import SourceMethods
from agent.clock import Clock, SystemClock
from agent.conditions.interface import Conditions, NoConditions
from agent.conditions.limits import ConditionLimits
from agent.conditions.monitor import Monitor
from agent.config.device_limits import limits_for
from agent.config.effective import EffectiveConfig
from agent.config.pause import Pause
from agent.config.policy_file import PolicyPlace
from agent.config.sample_sources import SampleSources, SystemPlaces, here
from agent.consent.gate import Gate
from agent.consent.record import Record
from agent.consent.switch import consent_files
from agent.container import Agent
from agent.enrolment.client import EnrolmentClient
from agent.enrolment.log_audit import LogAuditor
from agent.enrolment.model_fetcher import ModelFetcher
from agent.enrolment.scanning_models import ScanningModels
from agent.errors import AegisError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.ipc.last_cycle import LastCycleFile
from agent.models.store import ModelStore
from agent.paths import RECORD_PREFIX, Home
from agent.reports.budget import BudgetReport
from agent.reports.doctor import Doctor, IdentityChecks, MachineChecks
from agent.reports.export import Export
from agent.reports.ledger import LedgerReport
from agent.reports.sandbox_checks import SandboxChecks
from agent.reports.seal_check import SealCheck
from agent.reports.status_builder import StatusBuilder
from agent.reports.viewing_copies import ViewingCopies
from agent.reports.waiting_reasons import WaitingReasons
from agent.reports.work import WorkReport
from agent.rounds.activity import ActivityTracker
from agent.rounds.agreed_clock import AgreedClock
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.checkpoint import CheckpointStore
from agent.rounds.collector import Collector
from agent.rounds.contribution import RoundResources
from agent.rounds.cycle_steps import CycleSteps
from agent.rounds.cycles import Cycles
from agent.rounds.leave_sender import LeaveSender
from agent.rounds.local_round import LocalRound
from agent.rounds.offer_check import OfferCheck
from agent.rounds.offer_poll import OfferPoll
from agent.rounds.outbox import Outbox
from agent.rounds.readiness import Readiness
from agent.rounds.restrictions import Restrictions
from agent.rounds.runner import RoundRunner
from agent.rounds.secagg_round import SecaggRound
from agent.rounds.signals import Signals
from agent.rounds.submission import Submission
from agent.rounds.trainer import Trainer
from agent.rounds.update_store import UpdateStore
from agent.sandbox.minimum import Offered, offered_here
from agent.status import Status
from agent.store.database import Database
from agent.store.head import LedgerHead
from agent.store.ledger import Ledger
from agent.store.samples import Samples
from agent.store.values import Values
from agent.supervisor.worker_host import TrainingLimits, WorkerHost
from agent.transport.blocking import BlockingPool
from agent.transport.connections import ClientFactory, Connections
from agent.transport.server_clock import ServerClock

if TYPE_CHECKING:
    from agent.identity.keystore import KeyStore
    from agent.models.repository import ModelRepository
    from agent.privacy.policy import DeviceLimits
    from agent.supervisor.worker import Worker
    from agent.transport.client import AggregatorClient


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overrides:
    """Parts that replace a device's own, in the demo and in tests; None: its own."""

    clock: Clock | None = None
    environ: Mapping[str, str] | None = None
    key_store: "KeyStore | None" = None
    passphrase_from: str = ""
    """A file with the key store's passphrase, "-" for standard input, or "" for the terminal."""
    worker: "Worker | None" = None
    client_factory: ClientFactory | None = None
    conditions: Conditions | None = None
    limits: "Callable[[], DeviceLimits] | None" = None
    offered: Callable[[], Offered] | None = None
    policy_place: PolicyPlace | None = None
    system_places: SystemPlaces | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True)
class _Parts:
    """What cycles, reports and methods are built from."""

    home: Home
    clock: Clock
    server_clock: ServerClock
    environ: Mapping[str, str]
    signals: Signals
    pool: BlockingPool

    # What is stored.
    database: Database
    values: Values
    ledger: Ledger
    samples: Samples
    models: ModelStore

    # What the person and IT allow.
    effective: EffectiveConfig
    record: Record
    sources: SampleSources
    pause: Pause
    gate: Gate
    limits: "Callable[[], DeviceLimits]"

    # Which server the device talks to, and with which key.
    keys: KeyStoreChoice
    connections: Connections
    enrolment_client: EnrolmentClient
    scanning_models: ScanningModels

    # What this computer does and allows now.
    activity: ActivityTracker
    worker_host: WorkerHost
    conditions: Conditions
    readiness: Readiness
    offered: Callable[[], Offered]


@dataclass(frozen=True)
class _Rounds:
    """What runs a cycle."""

    budget_gate: BudgetGate
    checkpoints: CheckpointStore
    updates: UpdateStore
    collector: Collector
    runner: RoundRunner
    cycles: Cycles


@dataclass(frozen=True)
class _Reports:
    """What the agent says about itself."""

    copies: ViewingCopies
    ledger: LedgerReport
    status: Callable[[], Status]
    doctor: Doctor


def build(
    folder: Path, overrides: Overrides | None = None, *, watch_machine: bool = False
) -> Agent:
    """Make an agent on the home `folder`; the caller holds its lock.

    `watch_machine`: respect the state of this computer (battery, load, idle time, ...), as a
    person's device does and a simulated one does not.

    Raises UserActionError HOME_UNUSABLE, STORE_NEWER, STORE_DAMAGED, DISK_FULL.
    """
    parts = _build_parts(Home(folder), overrides or Overrides(), watch_machine=watch_machine)
    agent, erasure = _assemble(parts, (overrides or Overrides()).sleep)
    _recover(agent, erasure)
    return agent


def build_reader(
    folder: Path, scratch: Callable[[], Path], overrides: Overrides | None = None
) -> Agent:
    """Make an agent that only answers questions about the home `folder`, which may be read-only or
    missing: it works on a copy of the store in memory, and writes nothing.

    `scratch` makes the folder that a worker works in, when one is needed.

    Raises UserActionError HOME_UNUSABLE, STORE_NEWER, STORE_DAMAGED.
    """
    given = overrides or Overrides()
    parts = _build_parts(Home(folder), given, watch_machine=True, reader_scratch=scratch)
    return _assemble(parts, given.sleep)[0]


def _assemble(parts: _Parts, sleep: Callable[[float], Awaitable[None]]) -> tuple[Agent, Erasure]:
    rounds = _build_rounds(parts, sleep)
    reports = _build_reports(parts, rounds)
    erasure = _build_erasure(parts, rounds, reports)
    agent = Agent(
        home=parts.home,
        clock=parts.clock,
        environ=parts.environ,
        database=parts.database,
        values=parts.values,
        ledger=parts.ledger,
        samples=parts.samples,
        models=parts.models,
        checkpoints=rounds.checkpoints,
        keys=parts.keys,
        effective=parts.effective,
        record=parts.record,
        gate=parts.gate,
        pause=parts.pause,
        conditions=parts.conditions,
        readiness=parts.readiness,
        blocking_pool=parts.pool,
        connections=parts.connections,
        enrolment_client=parts.enrolment_client,
        scanning_models=parts.scanning_models,
        worker_host=parts.worker_host,
        collector=rounds.collector,
        runner=rounds.runner,
        cycles=rounds.cycles,
        signals=parts.signals,
        status=reports.status,
        service=_build_service(parts, rounds, reports, erasure),
        resume_erasure=erasure.resume,
    )
    return agent, erasure


def _build_parts(
    home: Home,
    given: Overrides,
    *,
    watch_machine: bool,
    reader_scratch: Callable[[], Path] | None = None,
) -> _Parts:
    """`reader_scratch`: that of `build_reader`; None for an agent that may write."""
    is_reader = reader_scratch is not None
    if not is_reader:
        home.prepare()
    clock = given.clock or SystemClock()
    environ = os.environ if given.environ is None else given.environ
    signals, pool = Signals(), BlockingPool()

    database = Database(home.database, in_memory=is_reader)
    values, models = Values(database, "value"), ModelStore(home.root)

    effective = EffectiveConfig(
        home, values, Values(database, "setting"), environ, given.policy_place
    )
    record = Record(database, clock, *consent_files(home, environ))
    pause = Pause(values, clock)
    gate = Gate(record, effective.gate_facts)

    keys = KeyStoreChoice(
        home,
        environ,
        lambda: effective.settings().text("key_store"),
        override=given.key_store,
        passphrase_from=given.passphrase_from,
    )
    server_clock = ServerClock(clock)
    connections = Connections(
        lambda: effective.settings().text("network.proxy"),
        server_clock,
        override=given.client_factory,
    )
    enrolment_client = EnrolmentClient(
        clock=clock,
        server_clock=server_clock,
        effective=effective,
        values=values,
        identity_file=keys.identity_file,
        model_fetcher=ModelFetcher(
            effective,
            models,
            lambda root_sha256, client: _repository(home, clock, root_sha256, client),
            pool.run,
            signals.changed,
        ),
        log_auditor=LogAuditor(clock, values, pool.run),
        client_factory=connections.client,
        blocking=pool.run,
        changed=signals.changed,
    )

    activity = ActivityTracker(signals.changed)
    # The limits of the worker depend on the conditions, and the conditions on the processor time
    # that the worker uses; so the worker looks the conditions up when it needs them.
    offered = given.offered or offered_here
    worker_host = WorkerHost(
        home,
        clock,
        lambda: _training_limits(conditions, effective),
        activity.report_progress,
        scratch=reader_scratch,
        override=given.worker,
    )
    conditions = given.conditions or (
        Monitor(
            lambda: ConditionLimits.from_settings(effective.settings()),
            clock,
            home.root,
            environ,
            effective.server_is_here,
            own_cpu_s=worker_host.cpu_time_s,
        )
        if watch_machine
        else NoConditions()
    )
    return _Parts(
        home=home,
        clock=clock,
        server_clock=server_clock,
        environ=environ,
        signals=signals,
        pool=pool,
        database=database,
        values=values,
        ledger=Ledger(database, LedgerHead(home.ledger_head)),
        samples=Samples(database),
        models=models,
        effective=effective,
        record=record,
        sources=SampleSources(record, effective, values, given.system_places or here()),
        pause=pause,
        gate=gate,
        limits=given.limits or (lambda: limits_for(home, effective.gate_facts().server_host)),
        keys=keys,
        connections=connections,
        enrolment_client=enrolment_client,
        scanning_models=ScanningModels(effective, models, pool.run),
        activity=activity,
        worker_host=worker_host,
        conditions=conditions,
        readiness=Readiness(gate, pause, conditions, offered),
        offered=offered,
    )


def _build_rounds(parts: _Parts, sleep: Callable[[float], Awaitable[None]]) -> _Rounds:
    clock, run, changed = parts.clock, parts.pool.run, parts.signals.changed
    ledger, samples, gate = parts.ledger, parts.samples, parts.gate
    enrolment_client, activity = parts.enrolment_client, parts.activity
    worker = parts.worker_host.worker
    budget_gate = BudgetGate(clock, parts.effective, ledger, parts.values, parts.limits)
    checkpoints = CheckpointStore(parts.home.scratch, parts.values, parts.keys.identity_file)
    updates = UpdateStore(clock, checkpoints, budget_gate, random.SystemRandom().random)
    server_clock = parts.server_clock
    agreed_clock = AgreedClock(clock, parts.values)
    outbox = Outbox(clock, server_clock, agreed_clock, ledger, run)
    restrictions = Restrictions(parts.readiness.training_reasons, parts.readiness.sending_reasons)
    trainer = Trainer(clock, samples, checkpoints, updates, worker, run, restrictions, activity)
    resources = RoundResources(clock, server_clock, ledger, outbox, budget_gate, worker, activity)
    collector = Collector(
        clock=clock,
        sources=parts.sources,
        samples=samples,
        values=parts.values,
        worker=worker,
        readiness=parts.readiness,
        restrictions=restrictions,
        activity=activity,
    )
    secagg = SecaggRound(resources, run, parts.limits, sleep)
    submission = Submission(
        clock=clock,
        enrolment_client=enrolment_client,
        outbox=outbox,
        local=LocalRound(resources),
        secagg=secagg,
        updates=updates,
        activity=activity,
        changed=changed,
        sleep=sleep,
        draw=random.random,
    )
    steps = CycleSteps(
        gate=gate,
        clock=clock,
        enrolment_client=enrolment_client,
        offer_check=OfferCheck(
            ledger, samples, parts.limits, budget_gate, lambda: parts.effective.figures().mode
        ),
        trainer=trainer,
        updates=updates,
        submission=submission,
        restrictions=restrictions,
        activity=activity,
        offer_poll=OfferPoll(
            clock, ledger, parts.keys.identity_file, secrets.token_hex(16), run, agreed_clock
        ),
    )
    runner = RoundRunner(
        gate=gate,
        steps=steps,
        outbox=outbox,
        secagg=secagg,
        trainer=trainer,
        updates=updates,
        activity=activity,
        leave_sender=LeaveSender(gate, enrolment_client, run),
        worker=worker,
    )
    cycles = Cycles(
        gate,
        parts.conditions,
        parts.worker_host,
        runner,
        parts.signals,
        clock,
        LastCycleFile(parts.home.last_cycle),
        collector,
    )
    parts.signals.on_user_change(cycles.user_changed)
    return _Rounds(
        budget_gate=budget_gate,
        checkpoints=checkpoints,
        updates=updates,
        collector=collector,
        runner=runner,
        cycles=cycles,
    )


def _build_reports(parts: _Parts, rounds: _Rounds) -> _Reports:
    home, clock, effective, gate = parts.home, parts.clock, parts.effective, parts.gate
    budget = BudgetReport(clock, effective, parts.ledger, rounds.budget_gate)
    ledger_report = LedgerReport(parts.ledger, effective, budget)
    work = WorkReport(parts.worker_host, parts.activity)
    status_builder = StatusBuilder(
        home=home,
        effective=effective,
        gate=gate,
        pause=parts.pause,
        readiness=parts.readiness,
        conditions=parts.conditions,
        samples=parts.samples,
        sources=parts.sources,
        ledger=parts.ledger,
        scanning_models=parts.scanning_models,
        activity=parts.activity,
        cycles=rounds.cycles,
        limits=parts.limits,
        budget=budget,
        offered=parts.offered,
        waiting=WaitingReasons(
            clock,
            effective,
            parts.readiness,
            parts.conditions,
            rounds.cycles,
            parts.samples,
            budget,
        ),
        work=work,
    )
    doctor = Doctor(
        home,
        effective,
        gate,
        ledger_report,
        parts.scanning_models,
        IdentityChecks(home, clock, effective, parts.values, parts.keys, parts.pool.run),
        MachineChecks(parts.conditions, work),
        SandboxChecks(parts.worker_host.attempt_escape, parts.offered),
    )
    return _Reports(
        copies=ViewingCopies(home),
        ledger=ledger_report,
        status=status_builder.build,
        doctor=doctor,
    )


def _build_erasure(parts: _Parts, rounds: _Rounds, reports: _Reports) -> Erasure:
    return Erasure(
        values=parts.values,
        effective=parts.effective,
        keys=parts.keys,
        requests=EraseRequests(
            parts.home,
            parts.clock,
            parts.effective,
            parts.keys,
            parts.gate,
            parts.connections,
            parts.pool.run,
            parts.signals.changed,
        ),
        local_data=LocalData(
            parts.home,
            parts.database,
            parts.effective,
            parts.record,
            parts.models,
            reports.copies,
            rounds.updates.discard,
        ),
        runner=rounds.runner,
        cycles=rounds.cycles,
        blocking=parts.pool.run,
        signals=parts.signals,
    )


def _build_service(parts: _Parts, rounds: _Rounds, reports: _Reports, erasure: Erasure) -> Service:
    clock, signals, status = parts.clock, parts.signals, reports.status
    effective, gate, runner = parts.effective, parts.gate, rounds.runner
    samples, worker = parts.samples, parts.worker_host.worker
    return Service(
        LifecycleMethods(clock, gate, parts.pause, runner, signals, reports.doctor, status),
        ConsentMethods(
            clock,
            parts.values,
            effective,
            parts.record,
            gate,
            rounds.budget_gate,
            runner,
            rounds.collector,
            signals,
            status,
        ),
        PreviewMethods(parts.home, effective, worker, reports.copies),
        EnrolmentMethods(
            clock,
            AgreedClock(clock, parts.values),
            effective,
            parts.ledger,
            parts.keys,
            signals,
        ),
        SettingsMethods(effective, parts.keys, parts.pool.run, signals, status),
        SampleMethods(clock, gate, runner, samples, worker, signals),
        ScanMethods(clock, worker, parts.scanning_models),
        SourceMethods(
            gate,
            parts.record,
            effective,
            parts.sources,
            rounds.collector,
            samples,
            runner,
            signals,
        ),
        LedgerMethods(
            parts.ledger,
            reports.ledger,
            SealCheck(gate, parts.keys, parts.ledger, parts.pool.run),
            reports.copies,
        ),
        PersonalDataMethods(
            gate,
            runner,
            parts.enrolment_client,
            Export(
                clock,
                effective,
                parts.record,
                samples,
                parts.sources,
                parts.ledger,
                reports.ledger,
                status,
            ),
            erasure,
        ),
    )


def _recover(agent: Agent, erasure: Erasure) -> None:
    """Remove what a crash may have left (P10): workers, trained updates, and outbox entries that a
    withdrawal had no time to remove.
    """
    if any(agent.home.root.glob(f"{RECORD_PREFIX}*")):
        from agent.supervisor.reaper import reap

        reap(agent.home.root)
    erasure.finish()
    is_denied = agent.gate.denial() is not None
    steps: list[Callable[[], object]] = [agent.record.catch_up]
    steps.append(agent.checkpoints.clear if is_denied else agent.checkpoints.tidy)
    if is_denied and agent.ledger.unsent():
        steps.append(lambda: agent.ledger.withdraw(agent.clock.now()))
    for step in steps:
        try:
            step()
        except AegisError as error:
            # A disk that takes nothing: the gate still holds, and the next start tries again.
            log.warning("recovery.left code=%s", error.code)


def _training_limits(conditions: Conditions, effective: EffectiveConfig) -> TrainingLimits:
    """Return what training may use now. Where the conditions cannot say whether the computer is in
    use, it counts as in use.
    """
    settings, cpu_percent = effective.settings(), conditions.cpu_percent()
    return TrainingLimits(
        settings.integer("cpu.share_in_use") if cpu_percent is None else cpu_percent,
        settings.integer("memory.limit_mib"),
    )


def _repository(
    home: Home, clock: Clock, root_sha256: str, client: "AggregatorClient"
) -> "ModelRepository":
    from agent.models.repository import ModelRepository

    return ModelRepository(home.root, root_sha256, client.public_file, clock)
