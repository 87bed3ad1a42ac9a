"""Extracts a file's feature row, 29 integers from its PE headers, or the coded reason why there is
none.

1. Only the headers are read, and never mapped: a file that shrinks meanwhile cannot crash the
   process.
2. Reading has a limit in CPU time. A file that reaches it is refused.
"""

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.worker.files import RefusedFileError, opened
from agent.worker.pe_headers import HeaderError, ReadAt, feature_row

FIRST_READ_BYTES = 8 * 1024
"""Covers the headers of nearly every executable."""
MAX_HASHED_BYTES = 1024 * 1024 * 1024
FILE_LIMIT_S = 5.0
"""CPU time per file. An ordinary one takes a fraction of a millisecond."""
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FileFeatures:
    features: tuple[int, ...]
    sha256: str
    """Of the whole file, hex; "" unless requested."""


def read_features(path: str, *, hashed: bool = False) -> FileFeatures:
    """Read one file's feature row (29 integers).

    Raises RefusedFileError. Takes at most FILE_LIMIT_S of CPU time, except on Windows.
    """
    with _time_limit(FILE_LIMIT_S), opened(path) as (descriptor, size):
        row = _features(descriptor, size)
        return FileFeatures(row, _sha256(descriptor, size) if hashed else "")


def _features(descriptor: int, size: int) -> tuple[int, ...]:
    try:
        return feature_row(_reader(descriptor), size)
    except HeaderError as error:
        raise RefusedFileError(error.code) from error


def _reader(descriptor: int) -> ReadAt:
    """Return a function that reads anywhere in a file, and the beginning only once."""
    first = os.read(descriptor, FIRST_READ_BYTES)

    def read_at(start: int, count: int) -> bytes:
        if start + count <= len(first):
            return first[start : start + count]
        os.lseek(descriptor, start, os.SEEK_SET)
        return _read(descriptor, count)

    return read_at


def _read(descriptor: int, count: int) -> bytes:
    """Read `count` bytes, fewer at the end of the file."""
    parts: list[bytes] = []
    while count > 0 and (part := os.read(descriptor, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _sha256(descriptor: int, size: int) -> str:
    if size > MAX_HASHED_BYTES:
        raise RefusedFileError("TOO_LARGE")
    digest, left = hashlib.sha256(), MAX_HASHED_BYTES
    os.lseek(descriptor, 0, os.SEEK_SET)
    while left > 0 and (part := os.read(descriptor, _CHUNK_BYTES)):
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise RefusedFileError TOO_SLOW inside the block after this much CPU time.

    Works in the main thread only, and not on Windows: only there can a signal handler raise.
    """
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    before = signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _too_slow(_: int, __: object) -> None:
    raise RefusedFileError("TOO_SLOW")
