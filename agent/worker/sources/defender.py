"""Malicious by Microsoft Defender: its detection history, one file a detection.

Such a file is a list of values: u32 size, u32 type, the data, padding to 8 bytes (libyal,
"Windows Defender scan DetectionHistory file format"). The text `Magic.Version:1.2` separates sets;
from the third on a set describes one resource: its type, its location and tracking data, which may
name the file's SHA-256. Where it does, the file must still have it.

Unverified: the format is not published by Microsoft. The reading was checked on recorded files, not
on a computer with Windows.
"""

import os
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from agent.worker.files import RefusedFileError, files_below
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places, read_end

MAX_HISTORY_FILES = 10_000
MAX_FILE_BYTES = 1024 * 1024
SEPARATOR = "Magic.Version:1.2"
_TEXT, _DATA = 0x15, 0x28
_MAX_VALUES = 10_000
_SHA256 = re.compile(
    re.escape("ThreatTrackingSha256\0".encode("utf-16-le"))
    + rb"\x06\0\0\0.{4}((?:[0-9a-fA-F]\0){64})",
    re.DOTALL,
)


@dataclass(frozen=True)
class Detection:
    """One file that was found."""

    path: str
    sha256: str
    """Hex; empty where the history does not say it."""


class Defender:
    """What the detection history reports about the programs that were found."""

    def __init__(self, places: Places, programs: Collection[str]) -> None:
        self.problem = ""
        self._found: dict[str, list[str]] = {}
        asked = {_folded(path) for path in programs}
        for entry in files_below(places.paths, MAX_HISTORY_FILES):
            if not isinstance(entry, str):
                self.problem = entry[1].code
                continue
            try:
                content = read_end(entry, MAX_FILE_BYTES)
            except RefusedFileError as error:
                self.problem = error.code
                continue
            for one in detections(content):
                if _folded(one.path) in asked:
                    self._found.setdefault(_folded(one.path), []).append(one.sha256)

    def knows(self, program: Program) -> bool:
        # Without a checksum nothing says that the file is still the one that was found.
        return any(
            sha256 == program.checksums.sha256
            for sha256 in self._found.get(_folded(program.path), ())
            if sha256
        )


def detections(content: bytes) -> Iterator[Detection]:
    """Yield the files that one file of the history names. Pure; what is damaged yields nothing."""
    resource: list[bytes | str] | None = None
    for kind, data in _values(content):
        text = data.decode("utf-16-le", "replace").rstrip("\0") if kind == _TEXT else ""
        if text == SEPARATOR:
            yield from _detection(resource)
            resource = []
        elif resource is not None and kind in (_TEXT, _DATA):
            resource.append(text if kind == _TEXT else data)
    yield from _detection(resource)


def _detection(values: list[bytes | str] | None) -> Iterator[Detection]:
    match values:
        case ["file", str(path), bytes(tracking), *_]:
            found = _SHA256.search(tracking)
            yield Detection(path, found[1].decode("utf-16-le").lower() if found else "")
        case ["file", str(path), *_]:
            yield Detection(path, "")


def _values(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for _ in range(_MAX_VALUES):
        if at + 8 > len(content):
            return
        size, kind = struct.unpack_from("<II", content, at)
        if at + 8 + size > len(content):
            return
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + -(-size // 8) * 8


def _folded(path: str) -> str:
    """Return one name for a file whatever the case of its letters, as Windows does."""
    return os.path.normcase(path).lower()
