"""Chooses the model that a scan uses."""

from agent.config.effective import EffectiveConfig
from agent.models.bundled import ScanningModel, bundled_model
from agent.models.store import ModelStore
from agent.protocol.messages import Task
from agent.status import ModelView
from agent.transport.blocking import Blocking


class ScanningModels:
    """Gives the operator's verified model, else the bundled one. Needs no consent (P1)."""

    def __init__(self, effective: EffectiveConfig, models: ModelStore, blocking: Blocking) -> None:
        self._effective = effective
        self._models = models
        self._blocking = blocking

    def described(self) -> ModelView:
        """Return which model a scan uses, without verifying it."""
        task = self._effective.task() if self._effective.enrolment() is not None else None
        has_all = task is not None and self._models.has_base(Task.from_json(task))
        facts = self._models.described() if has_all else None
        if facts is None:
            return ModelView(0, "", demonstration=True)
        return ModelView(facts.version, facts.sha256, demonstration=bool(facts.demonstration))

    async def current(self) -> ScanningModel:
        """Return the model in use, verified again."""
        enrolment, task_json = self._effective.enrolment(), self._effective.task()
        if enrolment is not None and task_json is not None:
            task = Task.from_json(task_json)
            model = await self._blocking(lambda: self._models.current(enrolment.signing_key, task))
            if model is not None:
                return ScanningModel(
                    model.files_for(task),
                    model.version,
                    model.sha256,
                    model.demonstration,
                    model.facts.published_at,
                )
        return await self._blocking(bundled_model)
