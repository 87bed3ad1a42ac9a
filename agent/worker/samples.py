"""The job `extract`: feature rows of the executables that a person chose as training samples."""

from collections.abc import Iterator, Mapping, Sequence

from agent.protocol.jobs import MAX_FILES, Event, ExtractedRow, Opening, RefusedInput
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError, files_below


def extract(paths: Sequence[str], skipped: Mapping[str, str]) -> Iterator[Event]:
    """Yield a row or a refusal for each file in `paths` and below its folders.

    `skipped`: the code by path of files to refuse unread.
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
            row = read_features(path, hashed=True)
        except RefusedFileError as refused:
            yield refusal(path, refused)
        else:
            yield ExtractedRow(path, row.sha256, row.features)


def refusal(path: str, error: RefusedFileError) -> RefusedInput:
    """Return the event of a refused file."""
    return RefusedInput(path, error.code, error.message)
