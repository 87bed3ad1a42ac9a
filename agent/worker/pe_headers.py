"""Reads the headers of a Windows executable (Microsoft, "PE Format") as the Windows loader does.
Pure: bytes in, a feature row or a code out. pefile reads the same numbers, in the tests.

1. The optional header begins right behind the file header and has a magic of 0x10b or 0x20b. Its
   fields are read wherever they lie, even if SizeOfOptionalHeader says that it ends before.
2. The section table begins where SizeOfOptionalHeader says that the optional header ends.
3. A section needs the smaller of its two sizes from the file, and nothing if its raw size or its
   raw pointer is 0. The pointer is rounded down to 512 in an image of pages.
4. A raw size beyond the last page of the section says nothing about the file. Then it is enough if
   the last page begins in the file: Windows fills the rest of it with zeros.
5. The padding of the last section may be missing.
"""

import struct
from collections.abc import Callable

DOS_BYTES = 64
MAX_START = 0x1000_0000
"""Windows looks for no header at or beyond 256 MiB."""
LIKELY_START = 1024 * 1024
"""A program for DOS has any number in that place. If it lies beyond the file's end, a smaller one
than this is taken for a header that was cut off.
"""
MAX_HEADERS_BYTES = 24 + 0xFFFF + 0xFFFF * 40
PAGE_BYTES, SECTOR_BYTES = 4096, 512
_DOS = struct.Struct("<2s58xI")
_FILE = struct.Struct("<4s2xH12xHH")
_SECTION = struct.Struct("<8xI4xII16x")
_OPTIONAL = {
    0x10B: struct.Struct("<2xBB5I4x3I6H4x3I2HI4x4I"),
    0x20B: struct.Struct("<2xBB5IQ2I6H4x3I2HQ8x2Q2I"),
}
"""By magic: the fields of agent.detector.schema, in its order."""
_SECTION_ALIGNMENT, _FILE_ALIGNMENT = 8, 9
"""Where the row of the optional header has them."""

ReadAt = Callable[[int, int], bytes]
"""Returns the bytes from a position, at most so many; fewer at the end of the file."""


class HeaderError(Exception):
    """There is no row. `code` is NOT_PE, TRUNCATED_PE or BROKEN_PE."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def feature_row(read_at: ReadAt, size: int) -> tuple[int, ...]:
    """Return the 29 features of a file of `size` bytes. Raises HeaderError."""
    start = _start(read_at(0, DOS_BYTES))
    head = read_at(start, _FILE.size)
    if len(head) < _FILE.size:
        raise HeaderError("TRUNCATED_PE" if start < LIKELY_START else "NOT_PE")
    signature, sections, optional_bytes, characteristics = _FILE.unpack(head)
    if signature != b"PE\0\0":
        raise HeaderError("NOT_PE")
    optional = start + _FILE.size
    body = read_at(optional, max(optional_bytes + sections * _SECTION.size, 2))
    form = _OPTIONAL.get(int.from_bytes(body[:2], "little"))
    if form is None:
        is_cut = len(body) < 2 <= optional_bytes
        raise HeaderError("TRUNCATED_PE" if is_cut else "BROKEN_PE")
    if len(body) < form.size:
        body = read_at(optional, form.size)
    if len(body) < max(form.size, optional_bytes + sections * _SECTION.size):
        raise HeaderError("TRUNCATED_PE")
    row = form.unpack_from(body)
    table = memoryview(body)[optional_bytes : optional_bytes + sections * _SECTION.size]
    if _needed(table, row[_SECTION_ALIGNMENT]) > size + min(row[_FILE_ALIGNMENT], PAGE_BYTES):
        raise HeaderError("TRUNCATED_PE")
    return (optional_bytes, characteristics, sections, *row)


def _start(dos: bytes) -> int:
    """Where the PE signature should be."""
    if dos[:2] != b"MZ":
        raise HeaderError("NOT_PE")
    if len(dos) < DOS_BYTES:
        raise HeaderError("TRUNCATED_PE")
    _, start = _DOS.unpack(dos)
    if start >= MAX_START:
        raise HeaderError("NOT_PE")
    return int(start)


def _needed(table: memoryview, section_alignment: int) -> int:
    """How many bytes the file must have for its sections (rules 3 to 5)."""
    rounding = SECTOR_BYTES if section_alignment >= PAGE_BYTES else 1
    return max(
        (
            pointer // rounding * rounding + _read_bytes(raw, virtual)
            for virtual, raw, pointer in _SECTION.iter_unpack(table)
            if raw and pointer
        ),
        default=0,
    )


def _read_bytes(raw: int, virtual: int) -> int:
    if not virtual:
        return raw
    pages = -(-virtual // PAGE_BYTES)
    return min(raw, virtual) if raw <= pages * PAGE_BYTES else (pages - 1) * PAGE_BYTES + 1
