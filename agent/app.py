"""Builds every object of an agent and wires them; nothing else constructs.

The demo and the tests build theirs in the same way.
"""

import asyncio
import functools
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from agent import atomic_file
from agent.api.methods import Service
from agent.clock import Clock, SystemClock
from agent.conditions.evaluate import limits_of
from agent.config.effective import EffectiveConfig
from agent.consent.gate import Gate
from agent.consent.record import Record
from agent.enrolment.client import ClientFactory, EnrolmentClient
from agent.errors import AegisError, UserActionError
from agent.paths import RECORD_PREFIX, Home, policy_path, runtime_folder
from agent.reasons import Reason
from agent.reports.status_builder import Faults, blocking_reasons, status_of
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.checkpoint import CheckpointStore
from agent.rounds.outcome import CycleResult
from agent.rounds.runner import RoundRunner, wipe
from agent.status import ReadingView, Status, StopView
from agent.store.database import Database
from agent.store.head import Head
from agent.store.ledger import Ledger
from agent.store.samples import Samples
from agent.store.values import Values

if TYPE_CHECKING:
    from agent.identity.identity import Identity, IdentityFile
    from agent.identity.keystore import KeyStore
    from agent.models.repository import ModelRepository
    from agent.models.store import ModelStore
    from agent.privacy.policy import DeviceLimits
    from agent.supervisor.governor import Measured
    from agent.supervisor.supervision import Supervision
    from agent.supervisor.watchdog import Caps, StopEvent
    from agent.supervisor.worker import Worker
    from agent.transport.client import AggregatorClient

T = TypeVar("T")
SLOT_WAIT_S, SLOT_TRIES = 1.0, 300

OF_RUNNING_WINDOWS = frozenset({".sock", ".lock"})
"""What the tray and the window are found by; they go on after an erasure."""


@dataclass(frozen=True)
class ScanningModel:
    """What `scan` scores with."""

    content: bytes
    version: int
    sha256: str
    demonstration: bool


class Conditions(Protocol):
    """What the machine's state says about training and sending (agent.conditions); a fake in
    tests.
    """

    def may_train(self) -> tuple[Reason, ...]:
        """Reasons that hold back training now, in order; none means go."""

    def may_send(self) -> tuple[Reason, ...]:
        """Reasons that hold back sending now."""

    def readings(self) -> tuple[ReadingView, ...]:
        """What was read last, each with its source."""

    def note(self) -> str:
        """Why the readings are not to be relied upon, or nothing."""

    def cpu_percent(self) -> int | None:
        """The processor limit of training now, per cent of one core; None: as when the computer is
        in use.
        """

    async def look(self) -> None:
        """Read everything once, unless it is watched anyway."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """Read as long as this runs; `changed` is called in the event loop when a reading or a
        verdict is another one.
        """


class NoConditions:
    """For simulated devices: the machine is not theirs."""

    def may_train(self) -> tuple[Reason, ...]:
        return ()

    def may_send(self) -> tuple[Reason, ...]:
        return ()

    def readings(self) -> tuple[ReadingView, ...]:
        return ()

    def note(self) -> str:
        return ""

    def cpu_percent(self) -> int | None:
        return None

    async def look(self) -> None:
        pass

    async def watch(self, changed: Callable[[], None]) -> None:  # noqa: ARG002 - nothing ever changes
        await asyncio.Event().wait()


class Agent:
    """All rooms of one device. `build` makes it; close it when done."""

    def __init__(
        self,
        home: Home,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        keystore: "KeyStore | None",
        worker: "Worker | None",
        client_factory: ClientFactory | None,
        limits: "Callable[[], DeviceLimits] | None" = None,
        conditions: Conditions | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_machine: bool = False,
    ) -> None:
        self.home = home
        self.clock = clock
        self.environ = environ
        self.database = Database(home.database)
        self.values = Values(self.database, "value")
        self.effective = EffectiveConfig(
            home, self.values, Values(self.database, "setting"), environ, policy_path(environ)
        )
        self.record = Record(self.database, clock)
        self.gate = Gate(self.record, self.effective.gate_facts)
        self.ledger = Ledger(self.database, Head(home.ledger_head))
        self.samples = Samples(self.database)
        self.limits = limits or self._own_limits
        self._given_keystore = keystore
        self._keystores: dict[str, KeyStore] = {}
        self._given_worker = worker
        self._given_client_factory = client_factory
        self.conditions = conditions or (self._machine() if on_machine else NoConditions())
        self.last_stop: StopView | None = None
        self.faults = Faults()
        self.next_at: int | None = None
        self._listeners: list[Callable[[], None]] = []
        self._wake: Callable[[], None] = lambda: None
        self._run_now: Callable[[], None] = lambda: None
        self._quit: Callable[[], None] = lambda: None
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="blocking")
        self.enrolment_client = EnrolmentClient(
            clock=clock,
            effective=self.effective,
            values=self.values,
            identity_file=self.identity_file,
            models=self.model_store,
            repository=self.model_repository,
            client_factory=self.connection,
            blocking=self.blocking,
            changed=self.changed,
        )
        self.budget_gate = BudgetGate(clock, self.effective, self.ledger, self.values)
        self.checkpoints = CheckpointStore(home.scratch, self.values, self.identity_file)
        self.runner = RoundRunner(
            home=home,
            clock=clock,
            effective=self.effective,
            budget_gate=self.budget_gate,
            gate=self.gate,
            ledger=self.ledger,
            samples=self.samples,
            enrolment_client=self.enrolment_client,
            checkpoints=self.checkpoints,
            worker=self.worker,
            blocking=self.blocking,
            limits=self.limits,
            may_train=lambda: (*blocking_reasons(self), *self.conditions.may_train()),
            may_send=lambda: (*blocking_reasons(self), *self.conditions.may_send()),
            changed=self.changed,
            sleep=sleep,
        )
        self.service = Service(self)
        self._tidy()

    def status(self) -> Status:
        """The one value that every surface shows."""
        return status_of(self)

    async def run_cycle(
        self, *, hold_s: int, override: bool = False, group_wait_s: int = 0
    ) -> CycleResult:
        """One pass, with its end noted for the status.

        `group_wait_s`: how long it waits for a group to meet.
        """
        if self.gate.denial() is None:
            await self.conditions.look()
        self.enforce()
        try:
            result = await self.runner.run(
                hold_s=hold_s, override=override, group_wait_s=group_wait_s
            )
        except AegisError as error:
            self.faults = self.faults.after_fault(error)
            self.changed()
            raise
        self.faults = self.faults.after_pass(result)
        self.changed()
        return result

    async def blocking(self, call: Callable[[], T]) -> T:
        """Run a blocking call (keyring, network, disk) off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def scanning_model(self) -> ScanningModel:
        """The verified model in use, else the start model that the program came with."""
        enrolment = self.effective.enrolment()
        said = self.effective.task()
        if enrolment is not None and said is not None:
            from agent.protocol.messages import Task

            task = Task.from_json(said)
            held = await self.blocking(
                lambda: self.model_store().current(enrolment.signing_key, task)
            )
            if held is not None:
                return ScanningModel(held.content, held.version, held.sha256, held.demonstration)
        return await self.blocking(start_model)

    def show_file(self, name: str, content: bytes) -> Path:
        """A copy for a person to look at, in the runtime folder, readable by them only."""
        folder = runtime_folder(self.environ)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.home.name}-{name}"
        atomic_file.write(path, content)
        return path

    # What runs around it: the loop and the channel set these; without them they do nothing.

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def attach(
        self,
        *,
        wake: Callable[[], None],
        run_now: Callable[[], None],
        request_quit: Callable[[], None],
    ) -> None:
        """Connect the loop of a running agent."""
        self._wake, self._run_now, self._quit = wake, run_now, request_quit

    def changed(self) -> None:
        for listener in self._listeners:
            listener()

    def enforce(self) -> None:
        """Hold training to what settings and conditions say now; called whenever one of them
        changes.
        """
        supervision: Supervision | None = self.__dict__.get("supervision")
        if supervision is not None:
            supervision.set_caps(self._caps())
        self.runner.obey()

    def wake(self) -> None:
        """A person changed something that the agent may have waited for."""
        self.faults = self.faults.after_change()
        self.enforce()
        self.changed()
        self._wake()

    def run_now(self) -> None:
        self._run_now()

    def request_quit(self) -> None:
        self._quit()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.database.close()

    @functools.cached_property
    def _own_worker(self) -> "Worker":
        from agent.supervisor.worker import ProcessWorker

        return ProcessWorker(
            self.home.scratch,
            self.supervision,
            progress=lambda told: self.runner.progress(told.done, told.total),
            slot=_machine_slot,
            records=self.home.root,
        )

    @functools.cached_property
    def supervision(self) -> "Supervision":
        """Holds this agent's own workers to the limits; made with the first of them."""
        from agent.supervisor.supervision import Supervision

        return Supervision(self._caps(), self._worker_ended)

    def measured(self) -> "Measured | None":
        """What training takes; None while none runs."""
        held = self.__dict__.get("supervision")
        return held.measured() if held is not None else None

    def used_s(self) -> float:
        """Processor seconds of this process and of all its workers so far; never falls."""
        held = self.__dict__.get("supervision")
        return time.process_time() + (held.used_s() if held is not None else 0.0)

    def cpu_percent(self) -> int:
        """The processor limit of training now, per cent of one core."""
        said = self.conditions.cpu_percent()
        return self.effective.settings().integer("cpu.share_in_use") if said is None else said

    def _caps(self) -> "Caps":
        from agent.supervisor.watchdog import Caps

        return Caps(self.cpu_percent(), self.effective.settings().integer("memory.limit_mib") << 20)

    def _worker_ended(self, event: "StopEvent") -> None:
        """In the governor's thread; once for each stop."""
        self.last_stop = StopView(
            self.clock.now(),
            event.limit.value,
            event.value,
            event.cap,
            event.unit,
            event.after_s,
            event.action.value,
            str(event),
        )

    def _machine(self) -> Conditions:
        from agent.conditions.monitor import Monitor

        return Monitor(
            lambda: limits_of(self.effective.settings()),
            self.clock,
            self.home.root,
            self.environ,
            self.effective.server_is_here,
            ours_s=self.used_s,
        )

    def worker(self) -> "Worker":
        """Runs the jobs that see files; each in a process of its own unless the demo or a test gave
        another.
        """
        return self._own_worker if self._given_worker is None else self._given_worker

    def keystore(self) -> "KeyStore":
        """The store that the setting `key_store` names; in memory only in a home that the demo
        made, unless another was chosen there.
        """
        from agent.identity.keystore import MemoryKeyStore, chosen

        if self._given_keystore is not None:
            return self._given_keystore
        kind = self.effective.settings().text("key_store")
        kind = "memory" if self.home.is_demo and kind == "os" else kind
        if kind not in self._keystores:
            self._keystores[kind] = (
                MemoryKeyStore() if kind == "memory" else chosen(kind, self.home.root, self.environ)
            )
        return self._keystores[kind]

    def identity_file(self) -> "IdentityFile":
        """Needs the key store; `identity_file_exists` does not."""
        from agent.identity.identity import IdentityFile

        return IdentityFile(self.home.root, self.keystore())

    def identity_file_exists(self) -> bool:
        return self.home.identity.exists()

    def drop_unused_identity(self) -> bool:
        """Remove a key that no server knows yet, so that another key store can be chosen; False
        when one does.
        """
        enrolment = self.effective.enrolment()
        if enrolment is not None and enrolment.is_registered:
            return False
        with suppress(AegisError):
            self.identity_file().destroy()
        self.home.identity.unlink(missing_ok=True)
        return True

    def _own_limits(self) -> "DeviceLimits":
        from agent.config.device_limits import limits_for

        return limits_for(self.home, self.effective.gate_facts().server_host)

    def model_store(self) -> "ModelStore":
        from agent.models.store import ModelStore

        return ModelStore(self.home.root)

    def model_repository(self, root_sha256: str, client: "AggregatorClient") -> "ModelRepository":
        from agent.models.repository import ModelRepository

        return ModelRepository(self.home.root, root_sha256, client.public_file, self.clock)

    def connection(
        self,
        server: str,
        ca_pem: str,
        signing_key: str,
        identity: "Identity | None" = None,
        *,
        proxy: str = "",
    ) -> "AggregatorClient":
        """A connection to an aggregator, through the given proxy or else the setting's.

        Nothing is opened yet; the caller closes it.
        """
        if self._given_client_factory is not None:
            return self._given_client_factory(server, ca_pem, signing_key, identity)
        from agent.transport.client import AggregatorClient

        proxy = proxy or self.effective.settings().text("network.proxy")
        return AggregatorClient(server, ca_pem, signing_key, identity, proxy=proxy)

    def forget_everything(self) -> None:
        """Remove all data of this home but a waiting erase request; afterwards it is as new."""
        self.runner.discard()
        self.model_store().clear()
        shutil.rmtree(self.home.trust, ignore_errors=True)
        atomic_file.clear_drafts(self.home.root)
        self.home.model_seen_at.unlink(missing_ok=True)
        self.home.ledger_head.unlink(missing_ok=True)
        self.database.recreate()
        self.effective.reload()
        self.record.reload()
        self.faults = Faults()
        for path in self.home.logs.glob("*"):
            path.unlink(missing_ok=True)
        for path in runtime_folder(self.environ).glob(f"{self.home.name}-*"):
            if path.suffix not in OF_RUNNING_WINDOWS:
                path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """What a crash may have left: workers, trained updates, and bytes that a withdrawal did not
        come to remove (P10).
        """
        if any(self.home.root.glob(f"{RECORD_PREFIX}*")):
            from agent.supervisor.reaper import reap

            reap(self.home.root)
        if self.gate.denial() is not None:
            self.checkpoints.forget()
        wipe(self.home.scratch, self.checkpoints.checkpoint())
        if self.values.get("erasing"):
            from agent.api.erasure import finish

            finish(self)
        if self.gate.denial() is not None and self.ledger.unsent():
            self.ledger.withdraw(self.clock.now())


def build(
    home: Path,
    *,
    clock: Clock | None = None,
    keystore: "KeyStore | None" = None,
    worker: "Worker | None" = None,
    client_factory: ClientFactory | None = None,
    limits: "Callable[[], DeviceLimits] | None" = None,
    conditions: Conditions | None = None,
    environ: Mapping[str, str] | None = None,
    demo: bool = False,
    floor: "DeviceLimits | None" = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_machine: bool = False,
) -> Agent:
    """Make an agent on `home`; the caller holds its lock. `demo` marks a home as made by the demo,
    with `floor` as its bounds on groups; `on_machine` is a device that heeds the state of this
    computer (battery, load, idle time ...); simulated ones do not.

    Raises UserActionError HOME_UNUSABLE, STORE_NEWER, STORE_DAMAGED, DISK_FULL.
    """
    place = Home(home)
    place.prepare()
    if demo and floor is not None:
        from agent.config.device_limits import mark

        mark(place, floor)
    elif demo:
        place.demo_mark.touch(mode=0o600)
    surroundings = os.environ if environ is None else environ
    return Agent(
        place,
        clock=clock or SystemClock(),
        environ=surroundings,
        keystore=keystore,
        worker=worker,
        client_factory=client_factory,
        limits=limits,
        conditions=conditions,
        sleep=sleep,
        on_machine=on_machine,
    )


def start_model() -> ScanningModel:
    """The packaged demonstration model."""
    import hashlib
    from importlib import resources

    content = resources.files("agent.detector").joinpath("start_model.safetensors").read_bytes()
    return ScanningModel(content, 0, hashlib.sha256(content).hexdigest(), demonstration=True)


@asynccontextmanager
async def _machine_slot() -> AsyncIterator[None]:
    """One training at a time on this computer, whoever is logged in; waits for its turn.

    Raises UserActionError TRAINING_ELSEWHERE.
    """
    from agent.supervisor.reaper import MachineSlot, machine_folder

    slot, tries = MachineSlot(machine_folder()), 0
    while not slot.take():
        if (tries := tries + 1) > SLOT_TRIES:
            raise UserActionError(
                "TRAINING_ELSEWHERE",
                "Another AegisAI is training on this computer.",
                "This one goes on when it has ended.",
            )
        await asyncio.sleep(SLOT_WAIT_S)
    try:
        yield
    finally:
        slot.free()
