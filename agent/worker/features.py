"""Extracts a file's feature row, 29 integers from its PE headers, or the coded reason why there is
none.

1. Only the headers are read, at most 1 MiB, and never mapped: a file that shrinks meanwhile cannot
   crash the process.
2. Parsing has a limit in CPU time. A file that reaches it is refused.
"""

import hashlib
import os
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pefile

from agent.detector.schema import FEATURE_NAMES, FILE_HEADER_NAMES
from agent.worker.sources import RefusedFileError, opened

FIRST_READ_BYTES = 8 * 1024
"""Covers the headers of nearly every executable."""
MAX_HEADER_BYTES = 1024 * 1024
MAX_HASHED_BYTES = 1024 * 1024 * 1024
FILE_LIMIT_S = 5.0
"""CPU time per file. An ordinary one takes about a millisecond."""
SECTION_BYTES = 40
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
    head = _headers(descriptor, size)
    try:
        parsed = pefile.PE(data=head, fast_load=True)
        sources = [
            parsed.FILE_HEADER if name in FILE_HEADER_NAMES else parsed.OPTIONAL_HEADER
            for name in FEATURE_NAMES
        ]
        row = tuple(
            int(getattr(source, name)) for name, source in zip(FEATURE_NAMES, sources, strict=True)
        )
    except (
        pefile.PEFormatError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise RefusedFileError("BROKEN_PE") from error
    _check_whole(parsed, size)
    return row


def _headers(descriptor: int, size: int) -> bytes:
    """Read at least up to the end of the section table.

    Raises RefusedFileError NOT_PE, or TRUNCATED_PE for a file that ends before that.
    """
    head = os.read(descriptor, FIRST_READ_BYTES)
    if head[:2] != b"MZ":
        raise RefusedFileError("NOT_PE")
    start = int.from_bytes(head[60:64], "little")
    if len(head) < 64 or (size < start + 24 and start < FIRST_READ_BYTES):
        raise RefusedFileError("TRUNCATED_PE")
    if start + 24 > len(head):
        head += _more(descriptor, start + 24 - len(head))
    if head[start : start + 4] != b"PE\0\0":
        raise RefusedFileError("NOT_PE")
    sections, optional = struct.unpack_from("<6xH12xH", head, start)
    end = start + 24 + optional + min(sections, pefile.MAX_SECTIONS) * SECTION_BYTES
    if end > size:
        raise RefusedFileError("TRUNCATED_PE")
    return head + _more(descriptor, end - len(head))


def _more(descriptor: int, count: int) -> bytes:
    """Read the next `count` bytes, at most MAX_HEADER_BYTES."""
    parts: list[bytes] = []
    left = min(count, MAX_HEADER_BYTES)
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _check_whole(parsed: pefile.PE, size: int) -> None:
    """Refuse an image whose sections lie beyond its end, as Windows does.

    The padding of the last section may be missing.
    """
    padding = min(parsed.OPTIONAL_HEADER.FileAlignment, 4096)
    ends = [
        section.PointerToRawData + section.SizeOfRawData
        for section in parsed.sections
        if section.PointerToRawData
    ]
    if ends and max(ends) > size + padding:
        raise RefusedFileError("TRUNCATED_PE")


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
