"""The job `extract`: feature rows from the executables that a person names as training samples;
folders are walked.
"""

from collections.abc import Iterator, Mapping, Sequence

from agent.protocol.jobs import MAX_FILES, Event, ExtractedRow, Opening, RefusedInput
from agent.worker.features import read_features
from agent.worker.sources import RefusedFileError, files_below


def extract(paths: Sequence[str], skipped: Mapping[str, str]) -> Iterator[Event]:
    """A row, or a reason why not, for every file named or below a named folder.

    `skipped`: path to the code it is refused with unread.
    """
    for entry in files_below(paths, MAX_FILES):
        path, error = (entry, None) if isinstance(entry, str) else entry
        if path in skipped:
            error = RefusedFileError(skipped[path])
        if error is not None:
            yield refusal(path, error)
            continue
        yield Opening(path)
        try:
            found = read_features(path, hashed=True)
        except RefusedFileError as refused:
            yield refusal(path, refused)
        else:
            yield ExtractedRow(path, found.sha256, found.features)


def refusal(path: str, error: RefusedFileError) -> RefusedInput:
    return RefusedInput(path, error.code, error.message)
