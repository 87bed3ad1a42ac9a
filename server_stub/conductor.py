"""Holds rounds, one after the other: opens, closes, combines, publishes. What is due comes from the database, so a crash at any point
is made good by starting again: a round whose set of updates was fixed is combined anew, to the same model.
"""

import asyncio
import contextlib
import logging
from concurrent.futures import Executor
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import IntegrityError

from agent.clock import Clock
from agent.errors import NeedsOperator, PeerFault
from agent.privacy.weights import incoming
from server_stub import publication, rounds
from server_stub.combine.mean import mean_update
from server_stub.home import Home, Settings
from server_stub.publication import Published
from server_stub.rounds import Event, State
from server_stub.store import Round, Store

LOOK_S = 1.0
"""How often the clock, and what other processes wrote, is looked at."""
TIDY_S = 600
LOG = logging.getLogger("aegisai.rounds")


@dataclass(frozen=True)
class Situation:
    """What devices are told: the published model and the round that it is for, if one is open."""

    model: Published
    round: Round | None


class Conductor:
    """Runs in the event loop; all work with the database goes through `executor`, one thread."""

    def __init__(self, home: Home, store: Store, settings: Settings, key: Ed25519PrivateKey, clock: Clock, executor: Executor) -> None:
        self._home = home
        self._store = store
        self._settings = settings
        self._key = key
        self._clock = clock
        self._executor = executor
        self._wake = asyncio.Event()
        self._tidied_at = 0
        self.situation: Situation | None = None

    def wake(self) -> None:
        """Look at once: a round is full."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            moved = await loop.run_in_executor(self._executor, self.step)
            if moved:
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            self._wake.clear()

    def step(self) -> bool:
        """Do what is due; says whether something was. Raises NeedsOperator PRICE_TOO_LOW, PRICE_TOO_HIGH, NO_MODEL."""
        now = self._clock.now()
        self._tidy(now)
        current = self._store.newest_round()
        if current is None or current.state in (State.DONE, State.ABANDONED):
            self._publish(now)
            if current is not None and now < (current.closed_at or 0) + self._settings.rounds.pause_s:
                return False
            self._open(1 if current is None else current.round_id + 1, now)
            return True
        if current.state is State.OPEN:
            return self._watch(current, now)
        self._combine(current, now)
        return True

    def _watch(self, current: Round, now: int) -> bool:
        """Look after a round that is open."""
        newest = self._store.model_version()
        if newest != current.config.model_version:
            self._store.abandon(current.round_id, Event.REPLACED, now, "another model was published")
            return True
        if self._store.close_if_due(current.round_id, self._settings.rounds.minimum, now) is not State.OPEN:
            return True
        if self.situation is None or self.situation.round is None:
            self._publish(now)
            assert self.situation is not None  # noqa: S101  (_publish sets it)
            self.situation = Situation(self.situation.model, current)
        return False

    def _publish(self, now: int) -> None:
        model = publication.bring_up_to_date(self._home, self._store, self._settings.task, now)
        if self.situation is None or self.situation.model.sha256 != model.sha256 or self.situation.model.version != model.version:
            self.situation = Situation(publication.published(model, self._settings.task, self._key), None)
        elif self.situation.round is not None:
            self.situation = Situation(self.situation.model, None)

    def _open(self, round_id: int, now: int) -> None:
        assert self.situation is not None  # noqa: S101  (_publish sets it)
        model = self.situation.model
        plan = self._settings.rounds
        config = rounds.next_config(
            self._settings.task, plan, round_id=round_id, model_version=model.version, model_digest=model.sha256, now=now
        )
        self._store.open_round(config, plan.target)
        self.situation = Situation(model, self._store.round(round_id))
        LOG.info("round opened: id=%d model=%d target=%d", round_id, model.version, plan.target)

    def _combine(self, current: Round, now: int) -> None:
        if self.situation is not None:
            self.situation = Situation(self.situation.model, None)
        base = self._store.model(current.config.model_version)
        assert base is not None  # noqa: S101  (a round is opened on a stored model)
        try:
            mean, count = mean_update(self._store.bodies(current.round_id), current.config)
            step = incoming(mean, self._settings.task, current.config, count)
            content = publication.moved(base.content, step * (self._settings.rounds.server_rate_milli / 1000))
            publication.check_file(content, self._settings.task)
        except (PeerFault, NeedsOperator) as error:
            LOG.warning("round abandoned: id=%d code=%s", current.round_id, error.code)
            self._store.abandon(current.round_id, Event.UNUSABLE, now, error.code)
            return
        version = base.version + 1
        model = publication.make_model(
            version, content, origin=f"round {current.round_id}", demonstration=bool(base.demonstration), now=now
        )
        try:
            self._store.finish(current.round_id, count, model, now)
        except IntegrityError:  # the version is taken: the operator was faster
            self._store.abandon(current.round_id, Event.REPLACED, now, "another model was published")
            return
        LOG.info("round done: id=%d updates=%d model=%d", current.round_id, count, version)

    def _tidy(self, now: int) -> None:
        if now - self._tidied_at < TIDY_S:
            return
        self._tidied_at = now
        self._store.forget_nonces(now)
        if self.situation is not None:
            publication.bring_up_to_date(self._home, self._store, self._settings.task, now)
