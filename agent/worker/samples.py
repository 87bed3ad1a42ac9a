"""The job `extract`: feature rows from the executables that a person names as training samples."""

from collections.abc import Iterator, Mapping, Sequence

from agent.protocol.jobs import MAX_FILES, Event, ExtractedRow, Opening, Refused
from agent.worker.features import read_features
from agent.worker.sources import RefusedFileError


def extract(paths: Sequence[str], skipped: Mapping[str, str]) -> Iterator[Event]:
    """A row, or a reason why not, for every path. `skipped`: path to the code with which it is refused unread."""
    for path in paths[:MAX_FILES]:
        if path in skipped:
            yield refusal(path, RefusedFileError(skipped[path]))
            continue
        yield Opening(path)
        try:
            found = read_features(path, hashed=True)
        except RefusedFileError as error:
            yield refusal(path, error)
        else:
            yield ExtractedRow(path, found.sha256, found.features)
    if len(paths) > MAX_FILES:
        yield refusal(paths[MAX_FILES], RefusedFileError("TOO_MANY_FILES"))


def refusal(path: str, error: RefusedFileError) -> Refused:
    return Refused(path, error.code, error.message)
