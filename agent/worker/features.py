"""Extracts a file's feature row, 29 integers from its PE headers, or the coded reason why there is
none.

1. Only the headers are read, and never mapped: a file that shrinks meanwhile cannot crash the
   process. At most pe_headers.MAX_READ_BYTES are read, so the headers need no limit of time.
2. A digest takes the whole file. It has a limit in bytes and in CPU time; a file that reaches it is
   refused.
"""

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.worker.files import RefusedFileError, opened
from agent.worker.pe_headers import HeaderError, feature_row

MAX_HASHED_BYTES = 1024 * 1024 * 1024
FILE_LIMIT_S = 5.0
"""CPU time per file that is hashed. An ordinary one takes a few milliseconds."""
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FileFeatures:
    features: tuple[int, ...]
    sha256: str
    """Of the whole file, hex; "" unless requested."""


def read_features(path: str, *, hashed: bool = False) -> FileFeatures:
    """Read one file's feature row (29 integers).

    `hashed`: with the digest of the whole file; that takes at most FILE_LIMIT_S of CPU time, except
    on Windows. Raises RefusedFileError.
    """
    if not hashed:
        with opened(path) as (descriptor, size):
            return FileFeatures(_features(descriptor, size), "")
    with _time_limit(FILE_LIMIT_S), opened(path) as (descriptor, size):
        return FileFeatures(_features(descriptor, size), _sha256(descriptor, size))


def _features(descriptor: int, size: int) -> tuple[int, ...]:
    def read_at(start: int, count: int) -> bytes:
        return read_bytes(descriptor, count, start)

    try:
        return feature_row(read_at, size)
    except HeaderError as error:
        raise RefusedFileError(error.code) from error


def _pread(descriptor: int, count: int, start: int) -> bytes:
    """Read `count` bytes, fewer at the end of the file."""
    os.lseek(descriptor, start, os.SEEK_SET)
    parts: list[bytes] = []
    while count > 0 and (part := os.read(descriptor, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


read_bytes: Callable[[int, int, int], bytes] = getattr(os, "pread", _pread)
"""Not on Windows. A read of an ordinary file comes short at its end only."""


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
