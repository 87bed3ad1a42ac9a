"""The method `scan`: verdicts about the files that a person names. It needs no consent and sends
nothing (P1).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent.api.methods import Method, Report, Result, check_paths
from agent.clock import Clock
from agent.enrolment.scanning_models import ScanningModels
from agent.protocol.jobs import Job, Verdict

if TYPE_CHECKING:
    from agent.supervisor.worker import Worker


@dataclass(frozen=True)
class ScanMethods:
    clock: Clock
    worker: "Callable[[], Worker]"
    scanning_models: ScanningModels

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "scan": Method(self.scan, {"paths": list}, reports=True),
            "scan.cancel": Method(self.cancel),
        }

    async def cancel(self) -> Result:
        await self.worker().stop((Job.SCAN,))
        return {}

    async def scan(self, paths: list[Any], report: Report) -> Result:
        names = check_paths(paths)
        model = await self.scanning_models.current()
        result = await self.worker().scan(
            names, model.files, lambda progress: report(progress.done, progress.total)
        )
        found = Counter(item.verdict for item in result.results)
        return {
            "results": [item.to_json() for item in result.results],
            "counts": {verdict.value: found[verdict] for verdict in Verdict},
            "model_version": model.version,
            "demonstration": model.demonstration,
            "model_age_days": model.age_days(self.clock.now()),
            "model_too_old": model.is_too_old(self.clock.now()),
            **asdict(result.bounds),
        }
