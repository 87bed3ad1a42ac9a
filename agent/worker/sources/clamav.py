"""Malicious by ClamAV: what clamd's log, a log of clamscan, or its saved output says was found.

Lines read `PATH: NAME FOUND`, in clamd's log after a time and an arrow (`… -> PATH: …`), and may
name what was found exactly (`NAME(MD5:SIZE) FOUND`). A file counts only if it is still the one that
was scanned: by that checksum, else because it has not changed since the log was last written. A
file's name can imitate a line of a log, so at worst a file is called malicious that is not.
"""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from agent.worker.files import RefusedFileError, opened
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places, read_end

MAX_LOG_BYTES = 16 * 1024 * 1024
"""Of each log the end is read."""
_LINE = re.compile(
    rb"(?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} -> )?"
    rb"(?P<path>.+?): (?P<name>[^\s:()]+(?:\.UNOFFICIAL)?)"
    rb"(?:\((?P<md5>[0-9a-f]{32}):(?P<size>\d{1,15})\))? FOUND"
)
_NOT_MALWARE = (b"Heuristics.Encrypted", b"Heuristics.Limits", b"PUA.")
"""It could not look inside, or calls a program unwanted: no statement that it is malware."""


@dataclass(frozen=True)
class Detection:
    """One line of a log."""

    path: str
    md5: str
    """Of the file, hex, where the log says it."""
    size: int
    """In bytes, where the log says it."""


class ClamAV:
    """What the scanner's logs report about the programs that were found."""

    def __init__(self, places: Places, programs: Collection[str]) -> None:
        self.problem = ""
        self._found: dict[str, list[tuple[Detection, float]]] = {}
        asked = frozenset(programs)
        for path in places.paths:
            try:
                with opened(path) as (descriptor, _):
                    written_at = os.fstat(descriptor).st_mtime
                log = read_end(path, MAX_LOG_BYTES)
            except RefusedFileError as error:
                self.problem = error.code
                continue
            for one in detections(log):
                if one.path in asked:
                    self._found.setdefault(one.path, []).append((one, written_at))

    def knows(self, program: Program) -> bool:
        return any(_is_same(one, at, program) for one, at in self._found.get(program.path, ()))


def detections(log: bytes) -> Iterator[Detection]:
    """Yield what a log reports. Pure."""
    for line in log.splitlines():
        found = _LINE.fullmatch(line.rstrip(b"\r"))
        if found is not None and not found["name"].startswith(_NOT_MALWARE):
            yield Detection(
                os.fsdecode(found["path"]), (found["md5"] or b"").decode(), int(found["size"] or 0)
            )


def _is_same(detection: Detection, written_at: float, program: Program) -> bool:
    if detection.md5:
        # The scanner names the part that it found, which may lie inside the file.
        is_whole = (program.checksums.md5, program.size) == (detection.md5, detection.size)
        return is_whole or program.changed_at <= written_at
    return program.changed_at <= written_at
