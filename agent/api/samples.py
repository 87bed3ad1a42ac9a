"""Methods that manage local training rows."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent.api.methods import PAGE, PAGE_ROWS, Method, Result, check_paths, page_bounds
from agent.clock import Clock
from agent.consent.gate import Gate
from agent.errors import UserActionError
from agent.protocol.sources import Source
from agent.rounds.runner import RoundRunner
from agent.rounds.signals import Signals
from agent.store.samples import NewRow, Samples

if TYPE_CHECKING:
    from agent.supervisor.worker import Worker

LABELS = {"malicious": 1, "benign": 0}


@dataclass(frozen=True)
class SampleMethods:
    """Extraction for training needs consent (C21)."""

    clock: Clock
    gate: Gate
    runner: RoundRunner
    samples: Samples
    worker: "Callable[[], Worker]"
    signals: Signals

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "samples.add": Method(self.add, {"paths": list, "label": str}),
            "samples.mark": Method(self.mark, {"paths": list, "label": str}),
            "samples.import": Method(self.import_table, {"path": str}),
            "samples.list": Method(self.page, {}, PAGE),
            "samples.clear": Method(self.clear),
        }

    async def add(self, paths: list[Any], label: str) -> Result:
        """Learn from files; what is known about a file already stays as it is."""
        return await self._learn(paths, label, self.samples.add)

    async def mark(self, paths: list[Any], label: str) -> Result:
        """Learn what a person says about files, whatever any source has said about them."""
        return await self._learn(paths, label, self.samples.mark)

    async def _learn(
        self,
        paths: list[Any],
        label: str,
        store: Callable[[list[NewRow], int], tuple[int, int]],
    ) -> Result:
        mark = LABELS.get(label)
        if mark is None:
            raise UserActionError(
                "BAD_VALUE",
                f"The label must be malicious or benign, not {label[:40]!r}.",
                "Nothing was changed.",
            )
        permit, names = self.gate.permit(), check_paths(paths)
        result = await self.runner.run_until_withdrawn(permit, self.worker().extract(names))
        digests = self.samples.digests(row.sha256 for row in result.rows)
        rows = [
            NewRow(row.features, mark, Source.PERSON, digest)
            for row, digest in zip(result.rows, digests, strict=True)
        ]
        return self._store(rows, [asdict(item) for item in result.refused], store)

    async def import_table(self, path: str) -> Result:
        permit = self.gate.permit()
        result = await self.runner.run_until_withdrawn(permit, self.worker().import_table(path))
        rows = [NewRow(row.features, row.label, Source.TABLE) for row in result.rows]
        return self._store(rows, [asdict(item) for item in result.refused], self.samples.add)

    async def page(self, offset: int = 0, limit: int = PAGE_ROWS) -> Result:
        names = {mark: label for label, mark in LABELS.items()}
        rows = self.samples.page(*page_bounds(offset, limit))
        counts = self.samples.counts()
        return {
            "total": counts.total,
            "benign": counts.benign,
            "malicious": counts.malicious,
            "rows": [{**asdict(row), "label": names[row.label]} for row in rows],
        }

    async def clear(self) -> Result:
        removed = self.samples.clear()
        await self.runner.discard()
        self.signals.user_changed()
        return {"removed": removed}

    def _store(
        self,
        rows: list[NewRow],
        refused: list[Result],
        store: Callable[[list[NewRow], int], tuple[int, int]],
    ) -> Result:
        """Store rows. The worker is not trusted: check each row against the schema's ranges."""
        from agent.detector.schema import validate_row

        for row in rows:
            validate_row(row.features)
        added, known = store(rows, self.clock.now())
        self.signals.user_changed()
        return {"added": added, "known": known, "refused": refused}
