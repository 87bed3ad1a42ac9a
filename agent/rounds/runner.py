"""One pass: from a person's yes to an acknowledged update. Every step asks the permit again;
nothing is sent but from the outbox.

1. Gate, then policy: without a live permit nothing below is even imported.
2. Identity: opened; made and registered by the first pass after the yes (the first connection
   ever).
3. Outbox: what was charged but not acknowledged is sent again, byte for byte, while its round is
   open (P4, P10).
4. Offer: signed, for the task of the enrolment, within the device's own bounds, not paid for
   before, within the budget.
5. Model: the one that the round names, verified before use (P8).
6. Train in the worker; the clipped update stays encrypted in scratch (its key:
   agent.rounds.checkpoint).
7. The task's way: `local` (agent.rounds.local_round) seals and sends at once; `secagg`
   (agent.rounds.secagg_round) says that it is ready, meets a group and seals when that stands. Each
   charge is durable before its bytes leave. The trained update goes when nothing can come of it any
   more.
"""

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.clock import Clock
from agent.config.effective import EffectiveConfig
from agent.consent.gate import Gate, Permit
from agent.enrolment.client import EnrolmentClient
from agent.errors import AegisError, InternalError, PeerError, UserActionError
from agent.paths import Home
from agent.protocol.jobs import Job
from agent.reasons import Reason, ReasonCode
from agent.rounds.budget_gate import BudgetGate
from agent.rounds.checkpoint import CheckpointStore, name_of
from agent.rounds.join_window import join_window
from agent.rounds.local_round import LocalRound, send_stored
from agent.rounds.outbox import Outbox
from agent.rounds.outcome import Activity, CycleResult, Outcome, Trained, waiting
from agent.rounds.secagg_round import LeaveNotice, SecaggRound, already
from agent.store.ledger import Ledger
from agent.store.samples import Samples
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.models.verify import VerifiedModel
    from agent.privacy.policy import DeviceLimits
    from agent.protocol.messages import RoundConfig, Task
    from agent.supervisor.worker import Worker
    from agent.transport.answers import Offer
    from agent.transport.client import AggregatorClient

log = logging.getLogger(__name__)

T = TypeVar("T")

CHOSEN_PATIENCE_S = 180
"""How long a pass that a person asked for waits with its finished update for a group to meet."""
FAREWELL_S = 1.0
"""Quitting waits no longer for a `leave` to be heard."""
MIN_READY_POLL_S = 2
"""A pass that waits for a meeting asks for it no more often than this."""


class RoundRunner:
    """Makes passes for one device, one at a time."""

    def __init__(
        self,
        *,
        home: Home,
        clock: Clock,
        effective: EffectiveConfig,
        budget_gate: BudgetGate,
        gate: Gate,
        ledger: Ledger,
        samples: Samples,
        enrolment_client: EnrolmentClient,
        checkpoints: CheckpointStore,
        worker: "Callable[[], Worker]",
        blocking: Blocking,
        limits: "Callable[[], DeviceLimits]",
        may_train: Callable[[], tuple[Reason, ...]],
        may_send: Callable[[], tuple[Reason, ...]],
        changed: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`may_train` and `may_send` give the reasons that hold back now; none means go.

        `draw` is uniform in [0, 1).
        """
        self._home = home
        self._clock = clock
        self._effective = effective
        self._gate = gate
        self._ledger = ledger
        self._samples = samples
        self._enrolment_client = enrolment_client
        self._checkpoints = checkpoints
        self._worker = worker
        self._blocking = blocking
        self._limits = limits
        self._may_train = may_train
        self._may_send = may_send
        self._changed = changed
        self._sleep = sleep
        self._draw_one = draw
        self._budget_gate = budget_gate
        self._outbox = Outbox(clock, ledger, blocking)
        self._local = LocalRound(clock, budget_gate, self._outbox, worker, self._doing)
        self._group = SecaggRound(
            clock=clock,
            ledger=ledger,
            outbox=self._outbox,
            budget_gate=budget_gate,
            worker=worker,
            blocking=blocking,
            limits=limits,
            doing=self._doing,
            sleep=sleep,
        )
        self._farewells: set[asyncio.Task[None]] = set()
        self._gathering: set[asyncio.Future[Any]] = set()
        self._is_dropped = False
        """The update that is being given away is not to be used again."""
        self._override = False
        self._task: asyncio.Task[CycleResult] | None = None
        self._client: AggregatorClient | None = None
        self.trained: Trained | None = None
        self.activity = Activity()
        self.is_held = False
        """Training is under way but stands still."""

    @property
    def is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    async def run(
        self, *, hold_s: int, override: bool = False, group_wait_s: int = 0
    ) -> CycleResult:
        """Make one pass, or join the one under way. A finished update waits `hold_s` before it is
        sealed.

        `override` passes the person's own limits once (reasons that are overridable), never
        consent, policy or budget. `group_wait_s`: how long a finished update waits here for a
        group's meeting to be announced; otherwise the pass ends READY.

        Raises UserActionError NO_CONSENT, DENIED_BY_POLICY, NOT_ENROLLED and what server, keyring
        and worker raise.
        """
        self._gate.permit()
        if self._task is None or self._task.done():
            self._override, self._is_dropped = override, False
            self._task = asyncio.create_task(self._pass(hold_s, group_wait_s))
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._task.cancelled():
                return CycleResult(Outcome.STOPPED, "The pass was stopped.")
            raise
        except UserActionError as error:
            if error.code != "WORKER_STOPPED":  # the worker's end was heard before the pass's own
                raise
            return CycleResult(Outcome.STOPPED, "The pass was stopped.")

    async def gather(self, permit: Permit, job: Coroutine[Any, Any, T]) -> T:
        """Run a job that reads for training; a withdrawal ends it.

        Raises UserActionError NO_CONSENT when it came in between.
        """
        task = asyncio.ensure_future(job)
        self._gathering.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            permit.check()
            raise
        finally:
            self._gathering.discard(task)
            permit.check()

    async def stop(self) -> None:
        """End the pass under way: the worker dies, the connection is dropped.

        What was charged stays charged.
        """
        await self._end(self._cancel())

    def _cancel(self, *others: "asyncio.Future[Any]") -> list["asyncio.Future[Any]"]:
        """Tell the pass and `others` to end; what was told so."""
        running = [*others, *([self._task] if self._task is not None and self.is_busy else [])]
        for task in running:
            task.cancel()
        return running

    async def _end(self, cancelled: Sequence["asyncio.Future[Any]"]) -> None:
        if not cancelled:
            return
        await self._worker().stop(
            (Job.TRAIN, Job.SEAL)
        )  # a scan, say, goes on; what was gathered for training ends with its task
        if self._client is not None:
            self._client.close()
        await asyncio.wait(cancelled, timeout=1.0)

    async def recheck(self) -> None:
        """Stop what is under way when it may not go on: by consent and policy for good, training by
        every condition until it is over.
        """
        if not self.is_busy:
            return
        if self._gate.denial() is not None:
            await self.forget()
        else:
            self.obey()

    def obey(self) -> None:
        """Suspend a training under way when a condition holds it back, and let it go on when none
        does any more. At once.
        """
        if self.activity.kind != "training":
            return
        self.is_held = bool(self._held_back(self._may_train))
        (self._worker().hold if self.is_held else self._worker().release)()

    async def pause(self, note: Callable[[], None]) -> None:
        """Stop for a pause that `note` makes durable; training stands still before anything else.

        A group that can still do without this device is left, a sending that has begun is finished
        (P2).
        """
        if self.activity.kind == "training":
            self._worker().hold()
        try:
            note()
            if not self._is_given:
                await self._part("paused")
        finally:
            self.obey()

    async def quit(self) -> None:
        """End everything: a group that can still do without this device is told, if that takes no
        longer than a second.
        """
        if self._group.may_leave:
            await self._part("quit")
        await self.stop()
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=FAREWELL_S)

    async def forget(self) -> None:
        """After a withdrawal: stop, empty the outbox, wipe what was trained, say `leave` to a group
        that is under way (P2).
        """
        await whole(self._forget(self._group.leave("withdrawn"), self._cancel(*self._gathering)))

    async def _forget(
        self, farewell: LeaveNotice | None, cancelled: Sequence["asyncio.Future[Any]"]
    ) -> None:
        await self._part_with(farewell, cancelled)
        self._ledger.withdraw(self._clock.now())
        self.discard()

    async def drop(self) -> None:
        """Throw away the trained update or what is trained now; a group that can still do without
        this device is left.

        An update that is charged and on its way is sent, and not used again.
        """
        if self._is_given:
            self._is_dropped = True
            return
        if self.is_busy:
            await self._part("discarded")
        self.discard()

    @property
    def _is_given(self) -> bool:
        """Whether a sending has begun that is finished."""
        return self._group.is_committed or (
            self.activity.kind == "sending" and not self._group.is_busy
        )

    def discard(self) -> None:
        """Delete the trained update or its beginnings, if there are any."""
        self.trained, self._is_dropped = None, False
        self._checkpoints.forget()
        wipe(self._home.scratch)

    async def _part(self, reason: str) -> None:
        """End the pass; a round's secrets go first."""
        await self._part_with(self._group.leave(reason), self._cancel())

    async def _part_with(
        self, farewell: LeaveNotice | None, cancelled: Sequence["asyncio.Future[Any]"]
    ) -> None:
        """Wait for the end; last of all the group is told, by what a farewell allows."""
        await self._end(cancelled)
        if farewell is not None:
            task = asyncio.create_task(self._say(farewell))
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)

    async def _say(self, farewell: LeaveNotice) -> None:
        """The data-free `leave`, over a connection of its own, once."""
        try:
            self._gate.farewell().check()
            client = self._enrolment_client.farewell(farewell.identity)
            try:
                await self._blocking(lambda: client.leave(farewell.round_id, farewell.body))
            finally:
                client.close()
        except AegisError as error:
            log.info("round.leave_lost code=%s", error.code)

    # The steps, numbered as above.

    async def _pass(self, hold_s: int, group_wait_s: int) -> CycleResult:
        permit = self._gate.permit()
        self._enrolment_client.check_joined()
        if reasons := self._held_back(self._may_send):
            return waiting(reasons)
        try:
            self._client = client = await self._enrolment_client.connect(permit)
            resent = await self._send_waiting(permit, client)
            if resent is not None:
                return resent
            return await self._contribute(
                permit, client, _task_of(self._effective), hold_s, group_wait_s
            )
        finally:
            if self._client is not None:
                self._client.close()
                self._client = None
            self._doing("")

    async def _send_waiting(self, permit: Permit, client: "AggregatorClient") -> CycleResult | None:
        """3. Send again what was charged but not acknowledged."""
        last = None
        for entry in self._outbox.waiting():
            last = await send_stored(self._outbox, permit, client, entry.attempt, entry.round_id)
            self._changed()
            self._keep_or_drop(last)
        return last

    async def _contribute(
        self,
        permit: Permit,
        client: "AggregatorClient",
        task: "Task",
        hold_s: int,
        group_wait_s: int,
    ) -> CycleResult:
        """4. to 7.

        With a group it asks twice or more: once to learn the model, again to say that the update
        for it is ready.
        """
        from agent.protocol.messages import Mode

        has_group = task.mode is Mode.SECAGG
        is_fresh, down, ends = False, 0, self._clock.monotonic() + group_wait_s
        while True:
            permit.check()
            is_ready = has_group and self.trained is not None and not self._holds(hold_s)
            offer = await self._ask(client, ready=is_ready)
            config = self._acceptable(offer, task)
            answer = self._refusal(offer, config, task)
            if answer is None and (
                self.trained is None or self.trained.model_digest != offer.model_digest
            ):
                answer, came = await self._train_on(permit, client, offer, task, again=is_fresh)
                is_fresh, is_ready, down = True, False, down + came
            answer = answer or self._not_yet(hold_s)
            if answer is None and (is_ready or not has_group):
                answer = await self._give(permit, client, offer, config, ends)
            if answer is not None:
                return replace(
                    answer, bytes_down=answer.bytes_down + down, next_poll_s=offer.next_poll_s
                )

    async def _ask(self, client: "AggregatorClient", *, ready: bool) -> "Offer":
        """The server's offer; `ready` tells it of the finished update."""
        trained = self.trained
        if not ready or trained is None:
            return await self._blocking(client.offer)
        return await self._blocking(lambda: client.offer(ready=True, trained=trained.model_version))

    def _acceptable(self, offer: "Offer", task: "Task") -> "RoundConfig | None":
        """The round, when there is one.

        Raises PeerError when the offer breaks what was agreed or this device's bounds.
        """
        if offer.task != task:
            raise PeerError(
                "TASK_CHANGED",
                "The server asks for another task than the one this device joined.",
                "Ask for a new invitation.",
            )
        if offer.round is None:
            return None
        from agent.privacy.policy import check_config
        from agent.protocol.messages import Mode

        config = offer.round
        check_config(config, task, self._limits())
        if (config.model_version, config.model_digest) != (offer.model_version, offer.model_digest):
            raise PeerError(
                "OFFER_INCONSISTENT",
                "The server's offer contradicts itself.",
                "Nothing was sent. Tell the operator.",
            )
        if config.round_id < self._ledger.newest_round(config.task_id):
            raise PeerError(
                "ROUND_OLDER",
                "The server offers a round older than one already answered.",
                "Nothing was sent. Tell the operator.",
            )
        if config.mode is Mode.LOCAL and (
            offer.status != "open" or not config.opens_at <= self._clock.now() < config.closes_at
        ):
            return None
        return config

    def _refusal(
        self, offer: "Offer", config: "RoundConfig | None", task: "Task"
    ) -> CycleResult | None:
        """What ends the pass before anything is trained: no round, one that was answered, the wall,
        too few rows.
        """
        from agent.protocol.messages import Mode

        if config is None and task.mode is Mode.LOCAL:
            return CycleResult(Outcome.NO_ROUND, "No round is open now.")
        if config is not None:
            has_met = self._ledger.has_met(config.task_id, config.round_id)
            if offer.contributed and not has_met:
                raise self._ledger.contradicted()
            if has_met:
                return already(config.round_id)
        return self._budget_gate.refusal(
            task.task_id, offer.model_digest, config
        ) or self._enough_rows(task)

    def _enough_rows(self, task: "Task") -> CycleResult | None:
        counts = self._samples.counts()
        if counts.total >= task.min_rows:
            return None
        text = f"{counts.total} training rows are here; {task.min_rows} are needed."
        reason = Reason(ReasonCode.NOTHING_TO_LEARN, text, f"{counts.total} rows", "samples")
        return CycleResult(Outcome.NOTHING_TO_LEARN, text, (reason,))

    async def _train_on(
        self,
        permit: Permit,
        client: "AggregatorClient",
        offer: "Offer",
        task: "Task",
        *,
        again: bool,
    ) -> tuple[CycleResult | None, int]:
        """5. and 6.

        What ends the pass, if anything, and the bytes of a model that was fetched. An interruption
        is no fault.
        """
        if again:
            return waiting(
                (
                    Reason(
                        ReasonCode.BACKOFF,
                        "The model changed while this device was training on it.",
                    ),
                )
            ), 0
        if reasons := self._held_back(self._may_train):
            return waiting(reasons), 0
        model, came = await self._enrolment_client.model(permit, client, offer, task)
        try:
            await self._train(permit, task, model)
        except UserActionError as error:
            if error.code not in ("TRAINING_INTERRUPTED", "TRAINING_ELSEWHERE"):
                raise
            return waiting(
                self._held_back(self._may_train) or (Reason(ReasonCode.BACKOFF, error.message),)
            ), came
        return None, came

    async def _train(self, permit: Permit, task: "Task", model: "VerifiedModel") -> None:
        """6.

        In the worker. A checkpoint for the same model and rows is gone on from, be it from before a
        restart.
        """
        rows, labels = self._samples.training_table()
        what = name_of(model.sha256, rows, labels)
        scratch = self._checkpoints.find(what)
        if scratch is None:
            self.discard()
            scratch = self._checkpoints.begin(what)
        at = scratch
        job_key = await self._blocking(lambda: self._checkpoints.job_key(at))
        permit.check()
        self._doing("training", f"Training on {len(labels)} local rows")
        self.obey()
        try:
            result = await self._worker().train(
                task, model.content, rows, labels, os.fspath(scratch), job_key
            )
        finally:
            # a hold is this training's; nobody would lift it from the next
            self._worker().release()
        permit.check()
        self.trained = Trained(
            scratch, job_key, model.version, model.sha256, result.rows_used, self._clock.now()
        )
        self._checkpoints.forget()
        self._doing("")

    def _holds(self, hold_s: int) -> Reason | None:
        """Why the finished update is not used yet, None when it may be or there is none."""
        if (
            not hold_s
            or self.trained is None
            or (until := self.trained.at + hold_s) <= self._clock.now()
        ):
            return None
        return Reason(
            ReasonCode.HOLD,
            "The finished update waits, so that you can discard it.",
            setting="hold.minutes",
            until=until,
        )

    def _not_yet(self, hold_s: int) -> CycleResult | None:
        held = self._holds(hold_s)
        reasons = (held,) if held else self._held_back(self._may_send)
        return waiting(reasons) if reasons else None

    async def _give(
        self,
        permit: Permit,
        client: "AggregatorClient",
        offer: "Offer",
        config: "RoundConfig | None",
        patience_ends: float,
    ) -> CycleResult | None:
        """7. Give the finished update away; None: nobody meets yet, ask again."""
        from agent.protocol.messages import Mode

        trained, now = self.trained, self._clock.monotonic()
        if trained is None:
            raise InternalError("NOTHING_TRAINED", "Training left nothing behind.")
        meet = (
            join_window(offer.join_opens, offer.join_closes, offer.time, self._draw_one())
            if config
            else None
        )
        is_local = config is not None and config.mode is Mode.LOCAL
        if meet is None and not is_local and now < patience_ends:
            self._doing("")
            await self._sleep(max(MIN_READY_POLL_S, min(offer.next_poll_s, patience_ends - now)))
            return None
        result = None
        try:
            if config is not None and is_local:
                result = await self._local.give(permit, client, config, trained)
            elif config is not None and meet is not None and meet.is_near:
                revoked = self._enrolment_client.revoked(offer.crl_pem)
                result = await self._group.give(
                    permit, client, config, trained, meet, self._enrolment_client.ca_pem, revoked
                )
            else:
                return _ready(None if meet is None else self._clock.now() + int(meet.wait_s))
        finally:
            self._changed()
            self._keep_or_drop(result)
        return result

    def _keep_or_drop(self, result: CycleResult | None) -> None:
        """After a sealing: what was taken goes, and so does what may not be sealed again; the rest
        is kept for one re-seal (P4).
        """
        if self.trained is None:
            return
        taken = result is not None and result.outcome is Outcome.SENT
        if (
            taken
            or self._is_dropped
            or not self._budget_gate.allows_another(self.trained.model_digest)
        ):
            self.discard()

    def progress(self, done: int, total: int) -> None:
        """Told by the worker, for the status."""
        if self.activity.kind and total > 0 and min(1.0, done / total) != self.activity.progress:
            self.activity = replace(self.activity, progress=min(1.0, done / total))
            self._changed()

    def _held_back(self, by: Callable[[], tuple[Reason, ...]]) -> tuple[Reason, ...]:
        return tuple(reason for reason in by() if not (self._override and reason.overridable))

    def _doing(self, kind: str, text: str = "") -> None:
        self.activity = Activity(kind, text)
        self.is_held = False
        self._changed()


_WHOLE: set["asyncio.Future[Any]"] = set()
"""Held here, because the event loop holds tasks weakly."""


async def whole(job: Coroutine[Any, Any, T]) -> T:
    """Do all of a job, even where whoever waits for it is cancelled: a withdrawal does not stop
    half-way because a window closed.
    """
    task = asyncio.ensure_future(job)
    _WHOLE.add(task)
    task.add_done_callback(_WHOLE.discard)
    return await asyncio.shield(task)


def _ready(meets_at: int | None) -> CycleResult:
    """A finished update without a group: `meets_at` where that is announced for later."""
    text = "The update is finished; the server says when a group meets."
    if meets_at is not None:
        text = "The update is finished and waits for its group to meet."
    return CycleResult(Outcome.READY, text, (Reason(ReasonCode.NO_ROUND, text, until=meets_at),))


def wipe(folder: Path, keep: Path | None = None) -> None:
    """Remove every file in a folder but `keep`; what cannot be removed is useless without its
    key.
    """
    for path in folder.glob("*"):
        if path == keep:
            continue
        try:
            path.unlink()
        except OSError as error:
            log.warning("scratch.kept error=%s", error.strerror)


def _task_of(effective: EffectiveConfig) -> "Task":
    from agent.protocol.messages import Task

    enrolment = effective.enrolment()
    return Task.from_json(enrolment.task if enrolment else None)
