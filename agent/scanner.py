"""Scans without an agent: builds only what a scan needs, because a person waits for it. `agent.app`
builds whole agents.

It reads the home, which may be read-only or missing, and writes nothing there. The worker starts
first, so that it loads Python while this process reads the model.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent.paths import Home
from agent.protocol.jobs import Job
from agent.supervisor.early_child import WORKER_FOLDER, EarlyChild
from agent.supervisor.process_worker import ProcessWorker

T = TypeVar("T")


async def scan(
    home: Home,
    environ: Mapping[str, str],
    params: dict[str, Any],
    report: Callable[[int, int], None],
    early: EarlyChild | None = None,
) -> dict[str, Any]:
    """Answer the method `scan` (agent.api.scanning) on this home. `early` is its worker, if one was
    started.

    Raises UserActionError HOME_UNUSABLE, STORE_NEWER, STORE_DAMAGED, and as the method does.
    """
    worker = ProcessWorker(Path(WORKER_FOLDER))
    if early is None:
        await worker.start_early(Job.SCAN)
    else:
        await worker.adopt(Job.SCAN, early)
    try:
        # Loaded while the worker starts.
        from agent.api.methods import Service
        from agent.api.scanning import ScanMethods
        from agent.clock import SystemClock
        from agent.config.effective import EffectiveConfig
        from agent.enrolment.scanning_models import ScanningModels
        from agent.models.store import ModelStore
        from agent.store.database import Database
        from agent.store.values import Values

        database = Database(home.database, in_memory=True)
        values, chosen = Values(database, "value"), Values(database, "setting")
        effective = EffectiveConfig(home, values, chosen, environ)
        models = ScanningModels(effective, ModelStore(home.root), _at_once)
        methods = ScanMethods(SystemClock(), lambda: worker, models)
        return await Service(methods).call("scan", params, report)
    finally:
        await worker.stop()


async def _at_once(call: Callable[[], T]) -> T:
    """Nobody else waits for this process."""
    return call()
