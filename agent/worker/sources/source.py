"""What a source of samples offers the job that collects."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.worker.files import RefusedFileError, opened
from agent.worker.sources.program import Program


@dataclass(frozen=True)
class Places:
    """Where a source finds what it knows."""

    paths: Sequence[str]
    """Files and folders of the source: a scanner's logs, a package manager's lists."""
    authorities: Collection[str] = ()
    """SHA-256 of the certificates that the task trusts for signatures, hex."""


class SampleSource(Protocol):
    """One source, made for the programs that were found."""

    problem: str
    """What it could not read, as a code of agent.worker.files; empty when it could."""

    def knows(self, program: Program) -> bool:
        """Whether its word holds for this program. Raises RefusedFileError."""


def read_end(path: str, most_bytes: int) -> bytes:
    """Return the last `most_bytes` of a file. Raises RefusedFileError."""
    import os

    with opened(path) as (descriptor, size):
        os.lseek(descriptor, max(0, size - most_bytes), os.SEEK_SET)
        parts, left = [], most_bytes
        while left > 0 and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def read_text(path: str, most_bytes: int) -> str:
    """Return a file's text; bytes that are none stay distinct, as in paths.

    Raises RefusedFileError, also for a file of more than `most_bytes`.
    """
    with opened(path) as (_, size):
        if size > most_bytes:
            raise RefusedFileError("TOO_LARGE")
    return read_end(path, most_bytes).decode("utf-8", "surrogateescape")
