"""Runs rounds one after the other: opens, closes, combines and publishes them.

What is due follows from the database alone, so a restart recovers from a crash at any point: a
round whose set of updates was fixed is combined again, into the same model.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import IntegrityError

from agent.clock import Clock
from agent.errors import AegisError, OperatorActionError, PeerError
from agent.privacy.weights import incoming
from agent.protocol.messages import Mode
from server_stub.ca.rpc import Enrolment
from server_stub.config.home import ServerHome
from server_stub.config.settings import ServerSettings
from server_stub.coordinator import combining
from server_stub.coordinator.canary_guard import CanaryGuard
from server_stub.coordinator.combining import Judged
from server_stub.coordinator.groups import GroupCoordinator
from server_stub.coordinator.suspects import exclude_suspects
from server_stub.publishing import heads, models
from server_stub.publishing.models import PublishedModel
from server_stub.rounds import lifecycle
from server_stub.rounds.lifecycle import Event, State
from server_stub.storage.database import STORAGE_ERRORS
from server_stub.storage.memberships import Members
from server_stub.storage.records import Model, Round
from server_stub.storage.serial_executor import SerialExecutor
from server_stub.storage.store import Store
from server_stub.validation.canary import CanaryResult
from server_stub.validation.root import Reference, root_update
from server_stub.validation.situation import Situation as Facts

POLL_S = 1.0
"""How often the driver checks the clock and what other processes wrote to the database."""
STORAGE_RETRY_S = 5.0
"""How long after a failed write the next step tries again."""
SETTLE_S = 0.2
"""Time to let more devices become ready once there are enough for a window."""
PUBLISH_AGAIN_S = 600
"""How often the published metadata is brought up to date, so that it does not expire."""
LOG = logging.getLogger("aegisai.rounds")


@dataclass(frozen=True)
class Situation:
    """What devices are offered: the published model, and the open round on it, if any."""

    model: PublishedModel
    round: Round | None


class RoundDriver:
    """Lives in the event loop; its database work is done by jobs of `executor`."""

    def __init__(
        self,
        home: ServerHome,
        store: Store,
        settings: ServerSettings,
        key: Ed25519PrivateKey,
        clock: Clock,
        executor: SerialExecutor,
        authority: Enrolment,
        reference: Callable[[], Reference | None] = lambda: None,
    ) -> None:
        """`reference` returns the operator's rows; None while there are none."""
        self._home = home
        self._store = store
        self._settings = settings
        self._key = key
        self._clock = clock
        self._executor = executor
        self._wake = asyncio.Event()
        self.groups_changed = asyncio.Event()
        """Set at the next change in any group, and then replaced by a new event: take it before
        reading an inbox, and wait for it afterwards."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._published_at = 0
        self._reference = reference
        self._canary = CanaryGuard(store, partial(models.scoring_head, task=settings.task))
        self.coordinator = GroupCoordinator(
            store,
            settings,
            home.ca_pem,
            authority.revocations,
            authority.witness,
            self._on_group_change,
            self._on_enough_ready,
        )
        self.situation: Situation | None = None

    def wake(self) -> None:
        """Check now what is due: a round is full."""
        self._wake.set()

    def _on_group_change(self) -> None:
        """Called by a database job, on whichever thread that runs."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._announce_change)

    def _on_enough_ready(self) -> None:
        """Called by a database job. The short delay lets the plan count the devices that become
        ready at the same time.
        """
        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(loop.call_later, SETTLE_S, self._wake.set)

    def _announce_change(self) -> None:
        self.groups_changed.set()
        self.groups_changed = asyncio.Event()
        self._wake.set()

    async def run(self) -> None:
        """Run rounds until cancelled. A disk that takes nothing delays them."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                did_something = await self._executor.run(self.step)
            except STORAGE_ERRORS as error:
                # What is due follows from the database, so the next step tries the same again.
                LOG.warning("rounds.not_stored error=%s", error)
                await asyncio.sleep(STORAGE_RETRY_S)
                continue
            if did_something:
                continue
            # Not wait_for: before Python 3.12 it can lose a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()

    def step(self) -> bool:
        """Do the next thing that is due; returns whether there was one.

        Raises OperatorActionError PRICE_TOO_LOW, PRICE_TOO_HIGH, NO_MODEL.
        """
        now = self._clock.now()
        self._publish_again(now)
        if self._settings.task.mode is Mode.SECAGG:
            # Once a step: requests then answer from memory and do not wait for the authority.
            self.coordinator.refresh_revocations(now)
        current = self._store.rounds.newest()
        if current is None or current.state in lifecycle.ENDED:
            if current is not None:
                self.coordinator.settle(current)
            self._publish(now)
            if (
                current is not None
                and now < (current.closed_at or 0) + self._settings.rounds.pause_s
            ):
                return False
            return self._open(current, now)
        if current.state is State.OPEN:
            return self._watch(current, now)
        if self.situation is not None:
            # First stop offering the round: it takes no more updates, and combining takes time.
            self.situation = Situation(self.situation.model, None)
        self._combine(current, now)
        return True

    def _watch(self, current: Round, now: int) -> bool:
        """Advance an open round; returns whether it ended."""
        # Another process (`aegis-server model publish`) may have written the database meanwhile.
        newest = self._store.models.newest_version()
        if newest != current.config.model_version:
            self._store.rounds.abandon(
                current.round_id, Event.REPLACED, now, "another model was published"
            )
            return True
        if current.config.mode is Mode.SECAGG:
            if self.coordinator.tick(current, now):
                self._end_groups(current, now)
                return True
        elif (
            self._store.rounds.close_if_due(current.round_id, self._settings.rounds.minimum, now)
            is not State.OPEN
        ):
            return True
        if self.situation is None or self.situation.round is None:
            self._publish(now)
            assert self.situation is not None  # noqa: S101  (_publish sets it)
            self.situation = Situation(self.situation.model, current)
        return False

    def _publish(self, now: int) -> None:
        model = models.sync_repository(self._home, self._store, self._settings.task, now)
        if (
            self.situation is None
            or self.situation.model.sha256 != model.sha256
            or self.situation.model.version != model.version
        ):
            self.situation = Situation(
                models.sign_model(model, self._settings.task, self._key), None
            )
        elif self.situation.round is not None:
            self.situation = Situation(self.situation.model, None)

    def _open(self, before: Round | None, now: int) -> bool:
        """Open the round after `before`; with secure aggregation, only once enough devices are
        ready.

        Returns whether it did.
        """
        round_id = 1 if before is None else before.round_id + 1
        assert self.situation is not None  # noqa: S101  (_publish sets it)
        model, plan, task = self.situation.model, self._settings.rounds, self._settings.task
        identity = lifecycle.next_identity(
            task,
            plan,
            round_id=round_id,
            model_version=model.version,
            model_digest=model.sha256,
            now=now,
        )
        is_secagg = task.mode is Mode.SECAGG
        if (is_secagg and not self.coordinator.expected(now)) or not self._can_combine(round_id):
            return False
        if is_secagg:
            invited = self.coordinator.invite(before, now)
            expected = len(invited.joining)
            planned = self.coordinator.plan(expected)
            config = lifecycle.group_config(
                task, plan, identity, g_max=planned.g_max, min_sum=planned.min_sum
            )
            try:
                self.coordinator.announce(config, planned, invited, now)
            except AegisError as error:
                # For example while the authority restarts. The devices stay ready, so the next step
                # tries again.
                LOG.warning("round.not_opened id=%d code=%s", round_id, error.code)
                return False
        else:
            expected = plan.target
            config = lifecycle.local_config(task, plan, identity)
            self._store.rounds.open(config, expected)
        self.situation = Situation(model, self._store.rounds.get(round_id))
        LOG.info("round.opened id=%d model=%d target=%d", round_id, model.version, expected)
        return True

    def _can_combine(self, round_id: int) -> bool:
        """Whether base and operator rows can be read, before any device pays for a round."""
        try:
            self._reference()
            if self._settings.task.base_sha256:
                heads.material(self._home, self._settings.task)
        except (PeerError, OperatorActionError) as error:
            LOG.warning("round.not_opened id=%d code=%s", round_id, error.code)
            return False
        return True

    def _end_groups(self, current: Round, now: int) -> None:
        """Fix the set of sums once all groups have ended, or abandon a round without any."""
        live = self.coordinator.resume(current)
        if live.sums():
            self._store.rounds.close_groups(current.round_id, live.record(), now)
            return
        note = "too few devices advertised" if not live.groups else "no group gave a sum"
        LOG.warning("round.abandoned id=%d reason=%r", current.round_id, note)
        self._store.rounds.abandon(current.round_id, Event.TOO_FEW, now, note, live.record())

    def _combine(self, current: Round, now: int) -> None:
        # The model that the devices started from, even if a newer one exists by now: `finish`
        # notices that.
        base = self._store.models.get(current.config.model_version)
        assert base is not None  # noqa: S101  (a round is opened on a stored model)
        record, members = self._record(current)
        try:
            known = self._reference()
            judged = self._judge(current, base, known, record)
            if judged.update is None:
                self._reject(current, now, "no group passed the gate", record, members)
                return
            content, origin = self._candidate(current, base, judged)
            verdict = (
                # Rows of one class, or none, say nothing about a model.
                self._canary.judge(content, known)
                if known is not None and known.has_both_classes
                else None
            )
        except (PeerError, OperatorActionError) as error:
            LOG.warning("round.abandoned id=%d code=%s", current.round_id, error.code)
            self._store.rounds.abandon(current.round_id, Event.UNUSABLE, now, error.code, record)
            return
        record["canary"] = None if verdict is None else verdict.to_json()
        if verdict is not None and not verdict.passes:
            self._reject(current, now, _canary_note(verdict), record, members)
            return
        version = base.version + 1
        model = models.make_model(
            version,
            content,
            origin=origin,
            demonstration=bool(base.demonstration),
            now=now,
        )
        try:
            self._store.rounds.finish(current.round_id, judged.devices, model, now, record, members)
        except IntegrityError:  # the version exists: the operator published a model meanwhile
            self._store.rounds.abandon(
                current.round_id, Event.REPLACED, now, "another model was published"
            )
            return
        LOG.info("round.done id=%d updates=%d model=%d", current.round_id, judged.devices, version)
        self._exclude(current, now)

    def _record(self, current: Round) -> tuple[dict[str, Any], Members]:
        """The record of a round before it is combined, and the devices in each opened group."""
        if current.config.mode is Mode.LOCAL:
            return {}, ()
        live = self.coordinator.resume(current)
        return live.record(), [(number, one.devices) for number, one in live.sums()]

    def _judge(
        self, current: Round, base: Model, known: Reference | None, record: dict[str, Any]
    ) -> Judged:
        """Judge and combine what the round brought, and note it in `record`.

        Raises PeerError SUM_OUT_OF_RANGE, MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
        """
        config, root, facts = current.config, None, Facts(0, 0)
        if known is not None:
            task = self._settings.task
            root = root_update(known, models.trained_head(base.content, task), task)
            facts = Facts(known.size, 0, known.has_both_classes)
        if config.mode is Mode.LOCAL:
            bodies = self._store.updates.bodies(current.round_id)
            judged = combining.judge_updates(bodies, current.updates, config, root, facts)
            record["defence"] = judged.to_json()
            return judged
        sums = self.coordinator.resume(current).sums()
        opened = combining.opened_sums([(one.words, one.count) for _, one in sums], config)
        judged = combining.judge(opened, config, root, replace(facts, groups=len(opened.groups)))
        record["defence"] = judged.to_json()
        for place, (number, _) in enumerate(sums):
            record["groups"][number] |= judged.group_json(place)
            if place in opened.unreadable:
                record["groups"][number]["failure"] = "sum out of range"
        return judged

    def _candidate(self, current: Round, base: Model, judged: Judged) -> tuple[bytes, str]:
        """The model file that the combined update makes, and its origin.

        Raises OperatorActionError BAD_MODEL, NO_BASE, NO_ROWS, BAD_ROWS, PeerError
        MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
        """
        assert judged.update is not None  # noqa: S101  (the caller has checked it)
        task, plan = self._settings.task, self._settings.rounds
        step = incoming(judged.update, task, current.config, judged.devices)
        origin = heads.BY_ROUND
        if task.base_sha256:
            kept = heads.material(self._home, task)
            done = heads.rounds_done(self._store.models.origins(base.version))
            result = heads.next_head(task, plan, kept, base.content, done, step)
            content = result.content
            origin = heads.BY_COURSE if result.ends_course else heads.BY_ROUND
        else:
            rate = lifecycle.server_rate(plan, current.round_id)
            moved = models.apply_step(base.content, step * rate)
            content = heads.recalibrated(self._home, task, moved)
        models.check_file(content, task)
        return content, f"{origin}{current.round_id}"

    def _reject(
        self, current: Round, now: int, note: str, record: dict[str, Any], members: Members
    ) -> None:
        LOG.warning("round.rejected id=%d reason=%r", current.round_id, note)
        self._store.rounds.reject(current.round_id, now, note, record, members)
        self._exclude(current, now)

    def _exclude(self, current: Round, now: int) -> None:
        """Exclude the devices that are named after this round."""
        for proof in exclude_suspects(self._store, current.round_id, now):
            self.coordinator.drop(proof.verdict.device_id, now)
            LOG.warning("round.suspect device=%s", proof.verdict.device_id)

    def _publish_again(self, now: int) -> None:
        """Renew the published metadata from time to time, also in the middle of a long round."""
        if now - self._published_at < PUBLISH_AGAIN_S:
            return
        self._published_at = now
        if self.situation is not None:
            models.sync_repository(self._home, self._store, self._settings.task, now)


def _canary_note(verdict: CanaryResult) -> str:
    return f"the canary refused the model: {', '.join(verdict.reasons)}"
