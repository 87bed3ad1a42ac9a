"""Builds every object of an agent, wires them, and recovers from a crash; nothing else constructs.

The demo and the tests build theirs in the same way, with `Overrides` for what stands in.
"""

import asyncio
import os
import random
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
from agent.api.settings import SettingsMethods
from agent.clock import Clock, SystemClock
from agent.conditions.evaluate import limits_of
from agent.conditions.interface import Conditions, NoConditions
from agent.conditions.monitor import Monitor
from agent.config.device_limits import limits_for
from agent.config.effective import EffectiveConfig
from agent.config.pause import Pause
from agent.consent.gate import Gate
from agent.consent.record import Record
from agent.container import Agent
from agent.enrolment.client import EnrolmentClient
from agent.enrolment.log_audit import LogAuditor
from agent.enrolment.model_fetcher import ModelFetcher
from agent.enrolment.scanning_models import ScanningModels
from agent.identity.key_store_choice import KeyStoreChoice
from agent.models.store import ModelStore
from agent.paths import RECORD_PREFIX, Home, policy_path
from agent.reports.budget import BudgetReport
from agent.reports.doctor import Doctor, IdentityChecks, MachineChecks
from agent.reports.export import Export
from agent.reports.ledger import LedgerReport
from agent.reports.status_builder import StatusBuilder
from agent.reports.viewing_copies import ViewingCopies
from agent.reports.waiting_reasons import WaitingReasons
from agent.reports.work import WorkReport
from agent.rounds.activity import ActivityTracker
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.checkpoint import CheckpointStore
from agent.rounds.contribution import RoundResources
from agent.rounds.cycle_steps import CycleSteps
from agent.rounds.cycles import Cycles
from agent.rounds.leave_sender import LeaveSender
from agent.rounds.local_round import LocalRound
from agent.rounds.offer_check import OfferCheck
from agent.rounds.outbox import Outbox
from agent.rounds.readiness import Readiness
from agent.rounds.restrictions import Restrictions
from agent.rounds.runner import RoundRunner
from agent.rounds.secagg_round import SecaggRound
from agent.rounds.signals import Signals
from agent.rounds.submission import Submission
from agent.rounds.trainer import Trainer
from agent.rounds.update_store import UpdateStore
from agent.store.database import Database
from agent.store.head import Head
from agent.store.ledger import Ledger
from agent.store.samples import Samples
from agent.store.values import Values
from agent.supervisor.worker_host import TrainingLimits, WorkerHost
from agent.transport.blocking import BlockingPool
from agent.transport.connections import ClientFactory, Connections

if TYPE_CHECKING:
    from agent.identity.keystore import KeyStore
    from agent.models.repository import ModelRepository
    from agent.privacy.policy import DeviceLimits
    from agent.supervisor.worker import Worker
    from agent.transport.client import AggregatorClient


@dataclass(frozen=True)
class Overrides:
    """What stands in for a device's own parts, in the demo and in tests; None: its own."""

    clock: Clock | None = None
    environ: Mapping[str, str] | None = None
    key_store: "KeyStore | None" = None
    worker: "Worker | None" = None
    client_factory: ClientFactory | None = None
    conditions: Conditions | None = None
    limits: "Callable[[], DeviceLimits] | None" = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def build(
    folder: Path, overrides: Overrides | None = None, *, watch_machine: bool = False
) -> Agent:
    """Make an agent on the home `folder`; the caller holds its lock.

    `watch_machine`: respect the state of this computer (battery, load, idle time, ...), as a
    person's device does and a simulated one does not.

    Raises UserActionError HOME_UNUSABLE, STORE_NEWER, STORE_DAMAGED, DISK_FULL.
    """
    home = Home(folder)
    home.prepare()
    given = overrides or Overrides()
    clock = given.clock or SystemClock()
    environ = os.environ if given.environ is None else given.environ
    signals, pool = Signals(), BlockingPool()

    # What is stored.
    database = Database(home.database)
    values = Values(database, "value")
    ledger, samples = Ledger(database, Head(home.ledger_head)), Samples(database)
    models = ModelStore(home.root)

    # What the person, IT and the machine allow.
    effective = EffectiveConfig(
        home, values, Values(database, "setting"), environ, policy_path(environ)
    )
    record, pause = Record(database, clock), Pause(values, clock)
    gate = Gate(record, effective.gate_facts)
    limits = given.limits or (lambda: limits_for(home, effective.gate_facts().server_host))

    # Whom it talks to, and with which key.
    keys = KeyStoreChoice(
        home,
        environ,
        lambda: effective.settings().text("key_store"),
        override=given.key_store,
    )
    connections = Connections(
        lambda: effective.settings().text("network.proxy"), override=given.client_factory
    )
    enrolment_client = EnrolmentClient(
        clock=clock,
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
    scanning_models = ScanningModels(effective, models, pool.run)

    activity = ActivityTracker(signals.changed)
    # The worker needs the conditions for its limits, and they need what it uses of the processor;
    # so each calls the other late.
    worker_host = WorkerHost(
        home,
        clock,
        lambda: _training_limits(conditions, effective),
        activity.report_progress,
        override=given.worker,
    )
    conditions = given.conditions or (
        Monitor(
            lambda: limits_of(effective.settings()),
            clock,
            home.root,
            environ,
            effective.server_is_here,
            ours_s=worker_host.cpu_time_s,
        )
        if watch_machine
        else NoConditions()
    )
    readiness = Readiness(gate, pause, conditions)

    # What makes a cycle.
    budget_gate = BudgetGate(clock, effective, ledger, values)
    checkpoints = CheckpointStore(home.scratch, values, keys.identity_file)
    updates = UpdateStore(clock, checkpoints, budget_gate)
    outbox = Outbox(clock, ledger, pool.run)
    restrictions = Restrictions(readiness.training_reasons, readiness.sending_reasons)
    trainer = Trainer(
        clock,
        samples,
        checkpoints,
        updates,
        worker_host.worker,
        pool.run,
        restrictions,
        activity,
    )
    resources = RoundResources(clock, ledger, outbox, budget_gate, worker_host.worker, activity)
    secagg = SecaggRound(resources, pool.run, limits, given.sleep)
    submission = Submission(
        clock=clock,
        enrolment_client=enrolment_client,
        outbox=outbox,
        local=LocalRound(resources),
        secagg=secagg,
        updates=updates,
        activity=activity,
        changed=signals.changed,
        sleep=given.sleep,
        draw=random.random,
    )
    steps = CycleSteps(
        gate=gate,
        clock=clock,
        enrolment_client=enrolment_client,
        offer_check=OfferCheck(clock, ledger, samples, limits, budget_gate),
        trainer=trainer,
        updates=updates,
        submission=submission,
        restrictions=restrictions,
        activity=activity,
        blocking=pool.run,
    )
    runner = RoundRunner(
        gate=gate,
        steps=steps,
        outbox=outbox,
        secagg=secagg,
        trainer=trainer,
        updates=updates,
        activity=activity,
        leave_sender=LeaveSender(gate, enrolment_client, pool.run),
        worker=worker_host.worker,
    )
    cycles = Cycles(gate, conditions, worker_host, runner, signals)
    signals.on_user_change(cycles.user_changed)

    # What it reports.
    copies = ViewingCopies(home, environ)
    budget = BudgetReport(clock, effective, ledger, budget_gate)
    ledger_report = LedgerReport(ledger, effective, budget)
    work = WorkReport(worker_host, activity)
    status = StatusBuilder(
        home=home,
        effective=effective,
        gate=gate,
        pause=pause,
        readiness=readiness,
        conditions=conditions,
        samples=samples,
        ledger=ledger,
        models=models,
        activity=activity,
        cycles=cycles,
        limits=limits,
        budget=budget,
        waiting=WaitingReasons(clock, effective, readiness, conditions, cycles, samples, budget),
        work=work,
    ).build
    doctor = Doctor(
        home,
        effective,
        gate,
        ledger_report,
        models,
        IdentityChecks(home, clock, effective, values, keys, pool.run),
        MachineChecks(conditions, work, pool.run),
    )

    # What a person can do with it.
    erasure = Erasure(
        values=values,
        effective=effective,
        keys=keys,
        requests=EraseRequests(
            home, clock, effective, keys, gate, connections, pool.run, signals.changed
        ),
        local_data=LocalData(home, database, effective, record, models, copies, updates.discard),
        runner=runner,
        cycles=cycles,
        blocking=pool.run,
        signals=signals,
    )
    service = Service(
        LifecycleMethods(clock, gate, pause, runner, signals, doctor, status),
        ConsentMethods(clock, values, effective, record, gate, runner, signals, status),
        PreviewMethods(home, effective, worker_host.worker, copies),
        EnrolmentMethods(effective, signals),
        SettingsMethods(effective, keys, pool.run, signals, status),
        SampleMethods(clock, gate, runner, samples, worker_host.worker, scanning_models, signals),
        LedgerMethods(ledger, ledger_report, copies),
        PersonalDataMethods(
            gate,
            runner,
            enrolment_client,
            Export(clock, effective, record, samples, ledger, ledger_report, status),
            erasure,
        ),
    )
    agent = Agent(
        home=home,
        clock=clock,
        environ=environ,
        database=database,
        values=values,
        ledger=ledger,
        samples=samples,
        models=models,
        checkpoints=checkpoints,
        keys=keys,
        effective=effective,
        record=record,
        gate=gate,
        pause=pause,
        conditions=conditions,
        readiness=readiness,
        blocking_pool=pool,
        connections=connections,
        enrolment_client=enrolment_client,
        scanning_models=scanning_models,
        worker_host=worker_host,
        runner=runner,
        cycles=cycles,
        signals=signals,
        status=status,
        service=service,
        resume_erasure=erasure.resume,
    )
    _recover(agent, erasure)
    return agent


def _recover(agent: Agent, erasure: Erasure) -> None:
    """Remove what a crash may have left (P10): workers, trained updates, and updates in the outbox
    that a withdrawal had no time to remove.
    """
    if any(agent.home.root.glob(f"{RECORD_PREFIX}*")):
        from agent.supervisor.reaper import reap

        reap(agent.home.root)
    if agent.gate.denial() is not None:
        agent.checkpoints.clear()
    else:
        agent.checkpoints.tidy()
    erasure.finish()
    if agent.gate.denial() is not None and agent.ledger.unsent():
        agent.ledger.withdraw(agent.clock.now())


def _training_limits(conditions: Conditions, effective: EffectiveConfig) -> TrainingLimits:
    """Return what training may take now: the conditions know whether the computer is in use; where
    they do not, it counts as in use.
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
