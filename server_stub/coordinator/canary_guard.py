"""Lets a candidate model be published only if it passes the canary against the best published model
and the start model.

Where there is a calibration, all are compared at its false-positive rate: the thresholds of models
from before it were set on something else, and their true positives say nothing beside those of a
candidate.
"""

from collections.abc import Callable
from dataclasses import replace

from agent.detector.families.family import Floats
from server_stub.publishing.calibration import threshold_at
from server_stub.storage.store import Store
from server_stub.validation.canary import CanaryResult, CanaryRows, figures, judge
from server_stub.validation.rollback import PublishedRows, replacement
from server_stub.validation.root import Reference, canary_rows

HeadReader = Callable[[bytes], tuple[Floats, float]]
"""Reads from a model file the weights that score files, and from which probability on they call a
file malicious."""


class CanaryGuard:
    """Remembers the losses of published models, so that each of them is scored once."""

    def __init__(self, store: Store, read_head: HeadReader) -> None:
        self._store, self._read_head = store, read_head
        self._losses: dict[int, float] = {}
        self._known: Reference | None = None

    def judge(self, candidate: bytes, known: Reference) -> CanaryResult:
        """Compare a candidate model file with what was published."""
        if known is not self._known:
            self._known, self._losses = known, {}
        published = [one["version"] for one in self._store.models.inventory()]
        for version in published:
            if version not in self._losses:
                self._losses[version] = figures(self._rows(version, known)).loss
        best = min(published, key=self._losses.__getitem__)
        return judge(
            self._judged(candidate, known),
            self._rows(best, known),
            self._rows(published[0], known),
        )

    def replacement(self, known: Reference) -> int | None:
        """The published version to serve again in place of the newest; None where that passes."""
        versions = [one["version"] for one in self._store.models.inventory()]
        return replacement([PublishedRows(one, self._rows(one, known)) for one in versions])

    def _rows(self, version: int, known: Reference) -> CanaryRows:
        model = self._store.models.get(version)
        assert model is not None  # noqa: S101  (published models are never deleted)
        return self._judged(model.content, known)

    def _judged(self, content: bytes, known: Reference) -> CanaryRows:
        rows = canary_rows(known, *self._read_head(content))
        if known.fpr is None:
            return rows
        benign = rows.probabilities[rows.labels == 0]
        return replace(rows, threshold=threshold_at(benign, known.fpr), is_fitted=True)
