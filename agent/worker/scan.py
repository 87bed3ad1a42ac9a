"""The job `scan`: how likely each file is to be malicious, according to a model.

A file that cannot be scored is reported as such, never as "clean".
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from agent.detector.model import from_safetensors, probability, verdict
from agent.detector.transform import transform
from agent.protocol.jobs import MAX_FILES, Event, ModelFiles, Opening, Scanned, Verdict
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError, files_below


def scan(paths: Sequence[str], model: ModelFiles, skipped: Mapping[str, str]) -> Iterator[Event]:
    """Yield one result for each file in `paths` and below its folders.

    `skipped`: the code by path of files to refuse unread. Raises PeerError as
    agent.detector.model.from_safetensors does.
    """
    logistic = from_safetensors(model.head)
    results: list[Scanned | tuple[str, tuple[int, ...]]] = []
    for entry in files_below(paths, MAX_FILES):
        path, error = (entry, None) if isinstance(entry, str) else entry
        if path in skipped:
            error = RefusedFileError(skipped[path])
        if error is not None:
            results.append(_unscored(path, error))
            continue
        yield Opening(path)
        try:
            results.append((path, read_features(path).features))
        except RefusedFileError as refused:
            results.append(_unscored(path, refused))
    rows = [entry[1] for entry in results if not isinstance(entry, Scanned)]
    # All rows at once: numpy scores them in one call.
    probabilities = iter(
        probability(logistic, transform(np.array(rows, np.uint64))).tolist() if rows else ()
    )
    for result in results:
        yield result if isinstance(result, Scanned) else _scored(result[0], next(probabilities))


def _scored(path: str, likelihood: float) -> Scanned:
    return Scanned(path, verdict(likelihood), likelihood)


def _unscored(path: str, error: RefusedFileError) -> Scanned:
    kind = Verdict.NOT_PE if error.code == "NOT_PE" else Verdict.ERROR
    return Scanned(path, kind, None, error.code, error.message)
