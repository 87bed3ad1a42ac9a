"""One pass: from a person's yes to an acknowledged update. Every step asks the permit again; nothing is sent but from the outbox.

1. Gate, then policy: without a live permit nothing below is even imported.
2. Identity: opened; made and registered by the first pass after the yes (the first connection ever).
3. Outbox: what was charged but not acknowledged is sent again, byte for byte, while its round is open (P4, P10).
4. Offer: signed, for the task of the enrolment, within the device's own bounds, not paid for before, within the budget.
5. Model: the one that the round names, verified before use (P8).
6. Train in the worker; the clipped update stays encrypted in scratch, its key in this process's memory.
7. Seal in the worker, charge and outbox in one durable transaction, send, keep the signed receipt, delete the trained update.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.clock import Clock
from agent.conditions.reasons import Reason, ReasonCode
from agent.consent.gate import Gate, Permit
from agent.errors import AegisError, InternalError, NeedsUser, PeerFault
from agent.membership import Blocking, Membership
from agent.paths import Home
from agent.store.ledger import Charge, Ledger, Sending
from agent.store.samples import Samples
from agent.terms import Terms

if TYPE_CHECKING:
    from agent.models.verify import VerifiedModel
    from agent.privacy.policy import Limits
    from agent.protocol.messages import RoundConfig, Task
    from agent.supervisor.worker import Worker
    from agent.transport.answers import Offer
    from agent.transport.client import AggregatorClient

log = logging.getLogger(__name__)

T = TypeVar("T")

DAY_S = 24 * 3600
MAX_CHARGES_PER_MODEL = 2
"""A first seal and one re-seal for the same base model (P4)."""
MAX_CHARGES_PER_DAY = 48
"""Offers come every 30 minutes; a server that lies about rounds cannot burn the budget faster."""


class Outcome(Enum):
    """How a pass ended. Part of the contract."""

    SENT = "sent"
    NO_ROUND = "no_round"
    ALREADY_CONTRIBUTED = "already_contributed"
    NOTHING_TO_LEARN = "nothing_to_learn"
    BUDGET_SPENT = "budget_spent"
    WAITING = "waiting"
    ROUND_CLOSED = "round_closed"
    STOPPED = "stopped"
    """Withdrawn, paused or quit in the middle."""


@dataclass(frozen=True)
class PassResult:
    outcome: Outcome
    text: str
    reasons: tuple[Reason, ...] = ()
    round_id: int | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    """Of a model that was fetched."""
    rows_used: int = 0
    next_poll_s: int | None = None
    """What the server asked for."""
    may_take_part_at: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "text": self.text,
            "reasons": [reason.code.value for reason in self.reasons],
            "round_id": self.round_id,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "rows_used": self.rows_used,
            "may_take_part_at": self.may_take_part_at,
        }


@dataclass(frozen=True)
class Trained:
    """A clipped update that waits, encrypted, in scratch."""

    scratch: Path
    job_key: bytes = field(repr=False)
    model_digest: str
    rows_used: int
    at: int


@dataclass(frozen=True)
class Activity:
    """What is being done right now, for the status."""

    kind: str = ""
    """"", "training" or "sending"."""
    text: str = ""
    progress: float | None = None


class Participation:
    """Makes passes for one device, one at a time."""

    def __init__(
        self,
        *,
        home: Home,
        clock: Clock,
        terms: Terms,
        gate: Gate,
        ledger: Ledger,
        samples: Samples,
        membership: Membership,
        worker: "Callable[[], Worker]",
        blocking: Blocking,
        limits: "Callable[[], Limits]",
        may_train: Callable[[], tuple[Reason, ...]],
        may_send: Callable[[], tuple[Reason, ...]],
        changed: Callable[[], None],
    ) -> None:
        """`may_train` and `may_send` give the reasons that hold back now; none means go."""
        self._home = home
        self._clock = clock
        self._terms = terms
        self._gate = gate
        self._ledger = ledger
        self._samples = samples
        self._membership = membership
        self._worker = worker
        self._blocking = blocking
        self._limits = limits
        self._may_train = may_train
        self._may_send = may_send
        self._changed = changed
        self._gathering: set[asyncio.Future[Any]] = set()
        self._override = False
        self._task: asyncio.Task[PassResult] | None = None
        self._client: AggregatorClient | None = None
        self.trained: Trained | None = None
        self._draft: tuple[tuple[str, int], Path, bytes] | None = None
        """An interrupted training: model and rows it is for, scratch file, job key."""
        self.activity = Activity()

    @property
    def is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    async def run(self, *, hold_s: int, override: bool = False) -> PassResult:
        """Make one pass, or join the one under way. A finished update waits `hold_s` before it is sealed.

        `override` passes the person's own limits once (reasons that are overridable), never consent, policy or budget.

        Raises NeedsUser NO_CONSENT, DENIED_BY_POLICY, NOT_ENROLLED and what server, keyring and worker raise.
        """
        self._gate.permit()
        if self._task is None or self._task.done():
            self._override = override
            self._task = asyncio.create_task(self._pass(hold_s))
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._task.cancelled():
                return PassResult(Outcome.STOPPED, "The pass was stopped.")
            raise

    async def gather(self, permit: Permit, job: Coroutine[Any, Any, T]) -> T:
        """Run a job that reads for training; a withdrawal ends it. Raises NeedsUser NO_CONSENT when it came in between."""
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
        """End the pass under way: the worker dies, the connection is dropped. What was charged stays charged."""
        if self._task is not None and self.is_busy:
            await self._end([self._task])

    async def _end(self, tasks: Sequence["asyncio.Future[Any]"]) -> None:
        for task in tasks:
            task.cancel()
        await self._worker().stop()
        if self._client is not None:
            self._client.close()
        await asyncio.wait(tasks, timeout=1.0)

    async def recheck(self) -> None:
        """Stop what is under way when it may not go on: training by every condition, sending by consent and policy only."""
        if not self.is_busy:
            return
        if self._gate.denial() is not None:
            await self.forget()
        elif self.activity.kind == "training" and self._held_back(self._may_train):
            await self.stop()

    async def forget(self) -> None:
        """After a withdrawal: stop, empty the outbox, wipe what was trained (P2)."""
        running = [*self._gathering, *([self._task] if self._task is not None and self.is_busy else [])]
        if running:
            await self._end(running)
        self._ledger.withdraw(self._clock.now())
        self.discard()

    def discard(self) -> None:
        """Delete the trained update or its beginnings, if there are any."""
        self.trained = self._draft = None
        wipe(self._home.scratch)

    # The steps, numbered as above.

    async def _pass(self, hold_s: int) -> PassResult:
        permit = self._gate.permit()
        self._membership.check_joined()
        if reasons := self._held_back(self._may_send):
            return _waiting(reasons)
        try:
            self._client = client = await self._membership.connect(permit)
            resent = await self._send_waiting(permit, client)
            if resent is not None:
                return resent
            permit.check()
            offer = await self._blocking(client.offer)
            return await self._answer(permit, client, offer, _task_of(self._terms), hold_s)
        finally:
            if self._client is not None:
                self._client.close()
                self._client = None
            self._doing("")

    async def _send_waiting(self, permit: Permit, client: "AggregatorClient") -> PassResult | None:
        """3. Send again what was charged but not acknowledged."""
        last = None
        for entry in self._ledger.unsent():
            if entry.closes_at <= self._clock.now():
                self._ledger.settle(entry.attempt, Sending.CLOSED, self._clock.now())
            else:
                last = await self._send(permit, client, entry.attempt, rows_used=0)
        return last

    async def _answer(self, permit: Permit, client: "AggregatorClient", offer: "Offer", task: "Task", hold_s: int) -> PassResult:
        """4. What to do about an offer."""
        config = self._acceptable(offer, task)
        if config is None:
            return PassResult(Outcome.NO_ROUND, "No round is open now.", next_poll_s=offer.next_poll_s)
        if offer.contributed or self._ledger.has_charged(config.task_id, config.round_id):
            return PassResult(
                Outcome.ALREADY_CONTRIBUTED,
                "This device has taken part in this round.",
                round_id=config.round_id,
                next_poll_s=offer.next_poll_s,
            )
        refusal = self._affordable(config) or self._enough_rows(task)
        if refusal is not None:
            return refusal
        down = 0
        if self.trained is None or self.trained.model_digest != config.model_digest:
            if reasons := self._held_back(self._may_train):
                return _waiting(reasons)
            model, down = await self._membership.model(permit, client, config, task)
            try:
                await self._train(permit, task, model)
            except NeedsUser as error:
                if error.code != "TRAINING_INTERRUPTED":
                    raise
                return _waiting(self._held_back(self._may_train) or (Reason(ReasonCode.BACKOFF, error.message),))
        if self.trained is None:
            raise InternalError("NOTHING_TRAINED", "Training left nothing behind.")
        if hold_s and (until := self.trained.at + hold_s) > self._clock.now():
            held = Reason(ReasonCode.HOLD, "The finished update waits, so that you can discard it.", setting="hold.minutes", until=until)
            return PassResult(Outcome.WAITING, held.text, (held,), round_id=config.round_id)
        if reasons := self._held_back(self._may_send):
            return _waiting(reasons)
        result = await self._seal_and_send(permit, client, config, self.trained)
        return PassResult(**{**vars(result), "bytes_down": down, "next_poll_s": offer.next_poll_s})

    def _acceptable(self, offer: "Offer", task: "Task") -> "RoundConfig | None":
        """The round, when there is one. Raises PeerFault when the offer breaks what was agreed or this device's bounds."""
        if offer.task != task:
            raise PeerFault(
                "TASK_CHANGED", "The server asks for another task than the one this device joined.", "Ask for a new invitation."
            )
        if offer.status != "open" or offer.round is None:
            return None
        from agent.privacy.policy import check_config
        from agent.protocol.messages import Mode

        config = offer.round
        if config.mode is not Mode.LOCAL:
            raise PeerFault("MODE_NOT_SUPPORTED", "The server asks for a mode that this version cannot do.", "Update AegisAI.")
        check_config(config, task, self._limits())
        if (config.model_version, config.model_digest) != (offer.model_version, offer.model_digest):
            raise PeerFault("OFFER_INCONSISTENT", "The server's offer contradicts itself.", "Nothing was sent. Tell the operator.")
        if config.round_id < self._ledger.newest_round(config.task_id):
            raise PeerFault(
                "ROUND_OLDER", "The server offers a round older than one already answered.", "Nothing was sent. Tell the operator."
            )
        if not config.opens_at <= self._clock.now() < config.closes_at:
            return None
        return config

    def _affordable(self, config: "RoundConfig") -> PassResult | None:
        """The wall (P5) and the local caps (P4)."""
        from agent.privacy.budget import Refused, decide
        from agent.privacy.zcdp import rho_units

        now = self._clock.now()
        charges = self._ledger.charges()
        decision = decide(self._terms.budget(), [(charge.at, charge.rho_units) for charge in charges], now, rho_units(config))
        if isinstance(decision, Refused):
            text = "The privacy budget is used up."
            return PassResult(
                Outcome.BUDGET_SPENT,
                text,
                (Reason(ReasonCode.BUDGET_SPENT, text, until=decision.may_take_part_at),),
                round_id=config.round_id,
                may_take_part_at=decision.may_take_part_at,
            )
        if sum(charge.model_digest == config.model_digest for charge in charges) >= MAX_CHARGES_PER_MODEL:
            return _capped("This device has given what it may for this model.", None)
        recent = [charge.at for charge in charges if charge.at > now - DAY_S]
        if len(recent) >= MAX_CHARGES_PER_DAY:
            return _capped("This device has taken part often enough today.", min(recent) + DAY_S)
        if self._ledger.bytes_since(now - DAY_S) >= self._terms.settings().integer("network.bytes_per_day"):
            return _capped("Today's limit of bytes is used up.", None, "network.bytes_per_day")
        return None

    def _enough_rows(self, task: "Task") -> PassResult | None:
        counts = self._samples.counts()
        if counts.total >= task.min_rows:
            return None
        text = f"{counts.total} training rows are here; {task.min_rows} are needed."
        reason = Reason(ReasonCode.NOTHING_TO_LEARN, text, f"{counts.total} rows", "samples")
        return PassResult(Outcome.NOTHING_TO_LEARN, text, (reason,))

    async def _train(self, permit: Permit, task: "Task", model: "VerifiedModel") -> None:
        """6. In the worker; the job key never leaves memory. A checkpoint for the same model and rows is gone on from."""
        rows, labels = self._samples.training_table()
        key = (model.sha256, len(labels))
        if self._draft is None or self._draft[0] != key:
            self.discard()
            self._draft = (key, self._home.scratch / secrets.token_hex(8), os.urandom(32))
        _, scratch, job_key = self._draft
        permit.check()
        self._doing("training", f"Training on {len(labels)} local rows")
        result = await self._worker().train(task, model.content, rows, labels, os.fspath(scratch), job_key)
        permit.check()
        self.trained, self._draft = Trained(scratch, job_key, model.sha256, result.rows_used, self._clock.now()), None
        self._doing("")

    async def _seal_and_send(self, permit: Permit, client: "AggregatorClient", config: "RoundConfig", trained: Trained) -> PassResult:
        """7. Seal, charge and outbox, send."""
        from agent.privacy.zcdp import rho_local_units, rho_units

        permit.check()
        attempt = secrets.token_hex(16)
        self._doing("sending", "Sealing and sending the update")
        body = await self._worker().seal(config, os.fspath(trained.scratch), trained.job_key, attempt)
        _check_sealed(body, config, attempt)
        permit.check()
        charge = Charge(
            at=self._clock.now(),
            task_id=config.task_id,
            round_id=config.round_id,
            attempt=attempt,
            mode=config.mode.value,
            model_version=config.model_version,
            model_digest=config.model_digest,
            config_digest=config.digest,
            rho_units=rho_units(config),
            rho_local_units=rho_local_units(config),
            body_sha256=_sha256(body),
            body_bytes=len(body),
        )
        self._ledger.record(charge, body, config.closes_at)
        self._changed()
        return await self._send(permit, client, attempt, trained.rows_used)

    async def _send(self, permit: Permit, client: "AggregatorClient", attempt: str, rows_used: int) -> PassResult:
        """Send an outbox entry: always the stored bytes."""
        entry = self._ledger.entry(attempt)
        body = self._ledger.body(attempt)
        if body is None:
            return PassResult(Outcome.STOPPED, "The update was withdrawn before it was sent.")
        permit.check()
        try:
            receipt = await self._blocking(lambda: client.send_update(body))
        except PeerFault as error:
            state = _FINAL.get(error.code)
            if state is None:
                raise
            self._ledger.settle(attempt, state, self._clock.now())
            self.discard()
            return PassResult(Outcome.ROUND_CLOSED, f"{error.message} The charge stands.", round_id=entry.round_id)
        signed = {name: value for name, value in vars(receipt).items() if name != "signature"}
        self._ledger.settle(attempt, Sending.ACKNOWLEDGED, self._clock.now(), {"receipt": signed, "signature": receipt.signature})
        self.discard()
        self._changed()
        return PassResult(
            Outcome.SENT, "The update was sent and acknowledged.", round_id=entry.round_id, bytes_up=entry.bytes, rows_used=rows_used
        )

    def progress(self, done: int, total: int) -> None:
        """Told by the worker, for the status."""
        if self.activity.kind and total > 0:
            self.activity = replace(self.activity, progress=min(1.0, done / total))
            self._changed()

    def _held_back(self, by: Callable[[], tuple[Reason, ...]]) -> tuple[Reason, ...]:
        return tuple(reason for reason in by() if not (self._override and reason.overridable))

    def _doing(self, kind: str, text: str = "") -> None:
        self.activity = Activity(kind, text)
        self._changed()


_FINAL = {
    "ROUND_CLOSED": Sending.CLOSED,
    "ALREADY_CONTRIBUTED": Sending.REFUSED,
    "BAD_ENVELOPE": Sending.REFUSED,
    "WRONG_SHAPE": Sending.REFUSED,
}
"""Answers after which sending the same bytes again is of no use."""


def wipe(folder: Path) -> None:
    """Remove every file in a folder; what cannot be removed is useless without its key."""
    for path in folder.glob("*"):
        try:
            path.unlink()
        except OSError as error:
            log.warning("scratch.kept error=%s", error.strerror)


def _task_of(terms: Terms) -> "Task":
    from agent.protocol.messages import Task

    enrolment = terms.enrolment()
    return Task.from_json(enrolment.task if enrolment else None)


def _check_sealed(body: bytes, config: "RoundConfig", attempt: str) -> None:
    """The worker is not trusted to have sealed for this round: look at the envelope's header before charging."""
    from agent.protocol.envelope import decode

    try:
        header = decode(body).header
    except AegisError as error:
        raise InternalError("SEAL_BROKEN", "The sealed update cannot be read; nothing was charged or sent.", "Report this.") from error
    said = (header.get("task_id"), header.get("round_id"), header.get("config_digest"), header.get("attempt"))
    if said != (config.task_id, config.round_id, config.digest, attempt):
        raise InternalError("SEAL_BROKEN", "The sealed update is for another round; nothing was charged or sent.", "Report this.")


def _sha256(body: bytes) -> str:
    import hashlib

    return hashlib.sha256(body).hexdigest()


def _waiting(reasons: tuple[Reason, ...]) -> PassResult:
    return PassResult(Outcome.WAITING, reasons[0].text, reasons)


def _capped(text: str, until: int | None, setting: str = "") -> PassResult:
    return _waiting((Reason(ReasonCode.BACKOFF, text, setting=setting, until=until),))
