"""Trains one update in the worker, and suspends that training while a restriction applies."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.consent.gate import Permit
from agent.rounds.activity import ActivityTracker
from agent.rounds.checkpoint import CheckpointStore, name_of
from agent.rounds.outcome import TrainedUpdate
from agent.rounds.restrictions import Restrictions
from agent.rounds.update_store import UpdateStore
from agent.store.samples import Samples
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.models.verify import VerifiedModel
    from agent.protocol.messages import Task
    from agent.supervisor.worker import Worker


class Trainer:
    """Trains a model on the local rows; the result is the finished update."""

    def __init__(
        self,
        clock: Clock,
        samples: Samples,
        checkpoints: CheckpointStore,
        updates: UpdateStore,
        worker: "Callable[[], Worker]",
        blocking: Blocking,
        restrictions: Restrictions,
        activity: ActivityTracker,
    ) -> None:
        self._clock = clock
        self._samples = samples
        self._checkpoints = checkpoints
        self._updates = updates
        self._worker = worker
        self._blocking = blocking
        self._restrictions = restrictions
        self._activity = activity

    async def train(self, permit: Permit, task: "Task", model: "VerifiedModel") -> None:
        """Train, and keep the finished update.

        Continues a checkpoint for the same model and rows, even from before a restart. Raises
        UserActionError TRAINING_INTERRUPTED or TRAINING_ELSEWHERE, and what worker and key store
        raise.
        """
        begun_at = self._clock.now()
        rows, labels = self._samples.training_table()
        training = name_of(model.sha256, rows, labels)
        scratch = self._checkpoints.find(training)
        if scratch is None:
            self._updates.discard()
            scratch = self._checkpoints.begin(training)
        path = scratch
        job_key = await self._blocking(lambda: self._checkpoints.job_key(path))
        permit.check()
        self._activity.train(f"Training on {len(labels)} local rows")
        self.enforce()
        try:
            result = await self._worker().train(
                task, model.files_for(task), rows, labels, os.fspath(path), job_key
            )
        finally:
            # The suspension ends with this training: nothing would lift it from the next job.
            self._worker().resume()
        permit.check()
        self._updates.keep(
            TrainedUpdate(
                path,
                job_key,
                model.version,
                model.sha256,
                result.rows_used,
                begun_at,
                self._clock.now(),
            )
        )
        self._activity.finish()

    def enforce(self) -> None:
        """Suspend a training under way if a restriction counts against it, else resume it.

        Takes effect at once.
        """
        if not self._activity.is_training:
            return
        self._activity.is_suspended = bool(self._restrictions.on_training())
        if self._activity.is_suspended:
            self._worker().suspend()
        else:
            self._worker().resume()

    def suspend(self) -> None:
        """Suspend a training under way, whatever the restrictions say, until the next `enforce`."""
        if self._activity.is_training:
            self._worker().suspend()
