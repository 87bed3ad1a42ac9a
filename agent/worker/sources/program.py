"""One program file whose sources are asked about it, read only as far as they need."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from functools import cached_property

from agent.worker.features import MAX_HASHED_BYTES
from agent.worker.files import RefusedFileError, opened

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Checksums:
    """Of a whole file."""

    md5: str
    """Hex. Package lists and scanners name it; it tells files apart and proves nothing."""
    sha256: str
    """Hex."""


class Program:
    """A program file. Its checksums are computed when a source first asks for them."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def checksums(self) -> Checksums:
        """Raises RefusedFileError."""
        with opened(self.path) as (descriptor, size):
            if size > MAX_HASHED_BYTES:
                raise RefusedFileError("TOO_LARGE")
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            left = MAX_HASHED_BYTES
            while left > 0 and (part := os.read(descriptor, _CHUNK_BYTES)):
                md5.update(part)
                sha256.update(part)
                left -= len(part)
        return Checksums(md5.hexdigest(), sha256.hexdigest())

    @cached_property
    def changed_at(self) -> float:
        """When its content or its name last changed, in seconds since the epoch.

        Raises RefusedFileError.
        """
        with opened(self.path) as (descriptor, _):
            facts = os.fstat(descriptor)
        # On Windows st_ctime is when the file was made.
        return max(facts.st_mtime, facts.st_ctime)

    @cached_property
    def size(self) -> int:
        """In bytes. Raises RefusedFileError."""
        with opened(self.path) as (_, size):
            return size


def keyed(key: bytes, text: str) -> str:
    """Return a keyed digest of a path or checksum, hex: it tells them apart and names nothing."""
    return hmac.digest(key, os.fsencode(text), "sha256").hex()


def is_program(path: str) -> bool:
    """Whether a file begins as a Windows program does. Files that cannot be read are none."""
    try:
        with opened(path) as (descriptor, _):
            return os.read(descriptor, 2) == b"MZ"
    except RefusedFileError:
        return False
