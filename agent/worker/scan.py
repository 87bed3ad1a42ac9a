"""The job `scan`: how likely is each file to be malicious, by the model it was given.

What cannot be scored is said so, never "clean".
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from agent.detector.model import from_safetensors, probability, verdict
from agent.detector.transform import transform
from agent.protocol.jobs import MAX_FILES, Event, Opening, Scanned, Verdict
from agent.worker.features import read_features
from agent.worker.sources import RefusedFileError, files_below


def scan(paths: Sequence[str], model: bytes, skipped: Mapping[str, str]) -> Iterator[Event]:
    """One result for every file named or below a named folder. `skipped`: path to the code with
    which it is refused unread.

    Raises PeerError as agent.detector.model.from_safetensors does.
    """
    logistic = from_safetensors(model)
    found: list[Scanned | tuple[str, tuple[int, ...]]] = []
    for entry in files_below(paths, MAX_FILES):
        path, error = (entry, None) if isinstance(entry, str) else entry
        if path in skipped:
            error = RefusedFileError(skipped[path])
        if error is not None:
            found.append(_unscored(path, error))
            continue
        yield Opening(path)
        try:
            found.append((path, read_features(path).features))
        except RefusedFileError as refused:
            found.append(_unscored(path, refused))
    rows = [entry[1] for entry in found if not isinstance(entry, Scanned)]
    chances = iter(
        probability(logistic, transform(np.array(rows, np.uint64))).tolist() if rows else ()
    )
    for result in found:
        yield result if isinstance(result, Scanned) else _scored(result[0], next(chances))


def _scored(path: str, chance: float) -> Scanned:
    return Scanned(path, verdict(chance), chance)


def _unscored(path: str, error: RefusedFileError) -> Scanned:
    kind = Verdict.NOT_PE if error.code == "NOT_PE" else Verdict.ERROR
    return Scanned(path, kind, None, error.code, error.message)
