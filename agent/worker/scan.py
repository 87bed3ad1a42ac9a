"""The job `scan`: how likely each file is to be malicious, according to a model, and why.

1. A file that cannot be scored is reported as such, never as "clean".
2. Files are read, scored and reported in blocks, so memory is bounded and a pipe carries thousands
   of files a second. A block names no file before it opens it; a run after a crash (`careful`)
   names each one.
3. Reasons cost many scores a file. Files that do not look benign have them, up to MAX_EXPLAINED;
   benign ones where a scan has no more than FEW_FILES.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.detector.explanation import explain
from agent.detector.scoring import read_model
from agent.detector.verdicts import probability_of, verdict
from agent.protocol.jobs import (
    MAX_FILES,
    Event,
    ModelFiles,
    Opening,
    Progress,
    Scanned,
    ScannedFiles,
    Verdict,
)
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError, files_below

BLOCK_FILES = 256
BLOCK_S = 0.2
"""A block ends early after this time: its reader wants to see progress."""
PROGRESS_S = 0.1
MAX_EXPLAINED = 1000
FEW_FILES = 100
_Row = tuple[int, ...]


def scan(
    paths: Sequence[str], model: ModelFiles, skipped: Mapping[str, str], *, careful: bool = False
) -> Iterator[Event]:
    """Yield the verdict bounds, then the results of each file in `paths` and below its folders.

    `skipped`: the code by path of files to refuse unread. `careful`: name each file before it is
    opened. Raises OperatorActionError UNKNOWN_TASK, PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
    """
    scorer = _Scorer(model)
    yield scorer.bounds
    entries = list(files_below(paths, MAX_FILES))
    done, reported_at = 0, time.monotonic()
    while done < len(entries):
        found: list[tuple[str, _Row | RefusedFileError]] = []
        ends = time.monotonic() + BLOCK_S
        for entry in entries[done : done + BLOCK_FILES]:
            path, error = (entry, None) if isinstance(entry, str) else entry
            if path in skipped:
                error = RefusedFileError(skipped[path])
            if careful and error is None:
                yield Opening(path)
            found.append((path, error or _read(path)))
            if time.monotonic() > ends:
                break
        done += len(found)
        yield scorer.scored(found, explain_benign=len(entries) <= FEW_FILES)
        if done == len(entries) or time.monotonic() - reported_at >= PROGRESS_S:
            reported_at = time.monotonic()
            yield Progress(done, len(entries))


def _read(path: str) -> _Row | RefusedFileError:
    try:
        return read_features(path).features
    except RefusedFileError as refused:
        return refused


class _Scorer:
    """One model's verdicts."""

    def __init__(self, model: ModelFiles) -> None:
        self._detector = read_model(model)
        self.bounds = self._detector.head.bounds
        self._explained = 0

    def scored(
        self, found: Sequence[tuple[str, _Row | RefusedFileError]], *, explain_benign: bool
    ) -> ScannedFiles:
        """Return the results of some files, in their order."""
        rows = np.array([row for _, row in found if isinstance(row, tuple)], np.uint64)
        logits = self._logits(rows).tolist() if len(rows) else []
        chances = [probability_of(logit) for logit in logits]
        verdicts = [verdict(chance, self.bounds) for chance in chances]
        wanted = [
            place
            for place, one in enumerate(verdicts)
            if explain_benign or one is not Verdict.BENIGN
        ][: MAX_EXPLAINED - self._explained]
        self._explained += len(wanted)
        is_benign = [verdicts[place] is Verdict.BENIGN for place in wanted]
        reasons = dict(zip(wanted, explain(rows[wanted], is_benign, self._logits), strict=True))
        scores = iter(enumerate(zip(chances, verdicts, strict=True)))
        results = []
        for path, row in found:
            if isinstance(row, RefusedFileError):
                results.append(_unscored(path, row))
                continue
            place, (chance, one) = next(scores)
            results.append(Scanned(path, one, chance, reasons=reasons.get(place, ())))
        return ScannedFiles(tuple(results))

    def _logits(self, rows: NDArray[np.uint64]) -> NDArray[np.float64]:
        return self._detector.logits(rows)


def _unscored(path: str, error: RefusedFileError) -> Scanned:
    kind = Verdict.NOT_PE if error.code == "NOT_PE" else Verdict.ERROR
    return Scanned(path, kind, None, error.code, error.message)
