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
6. At most MAX_READ_BYTES are read. What a longer section table says about the file's size is not
   checked; no feature lies there.
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
FIRST_BYTES = 4096
"""Holds the headers of nearly every executable."""
MAX_READ_BYTES = 64 * 1024
"""In three reads at most: FIRST_BYTES from the beginning, as many where the headers lie, and the
whole headers."""
PAGE_BYTES, SECTOR_BYTES = 4096, 512
_DOS = struct.Struct("<2s58xI")
_FILE = struct.Struct("<4s2xH12xHH")
_SECTION = struct.Struct("<8xI4xII16x")
_OPTIONAL = {
    0x10B: struct.Struct("<2xBB5I4x3I6H4x3I2HI4x4I"),
    0x20B: struct.Struct("<2xBB5IQ2I6H4x3I2HQ8x2Q2I"),
}
"""By magic: the fields of agent.detector.schema, in its order."""
FILE_BYTES = _FILE.size
MOST_FIELDS_BYTES = max(form.size for form in _OPTIONAL.values())
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
    body = read_at(0, FIRST_BYTES)
    start = at = _start(body)
    if start + FILE_BYTES > len(body):
        body, at = read_at(start, FIRST_BYTES), 0
        if len(body) < FILE_BYTES:
            raise HeaderError("TRUNCATED_PE" if start < LIKELY_START else "NOT_PE")
    signature, sections, optional_bytes, characteristics = _FILE.unpack_from(body, at)
    if signature != b"PE\0\0":
        raise HeaderError("NOT_PE")
    headers_bytes = FILE_BYTES + max(optional_bytes + sections * _SECTION.size, MOST_FIELDS_BYTES)
    if at + headers_bytes > len(body):
        body, at = read_at(start, min(headers_bytes, MAX_READ_BYTES - 2 * FIRST_BYTES)), 0
    optional = at + FILE_BYTES
    form = _OPTIONAL.get(int.from_bytes(body[optional : optional + 2], "little"))
    if form is None:
        is_cut = len(body) - optional < 2 <= optional_bytes
        raise HeaderError("TRUNCATED_PE" if is_cut else "BROKEN_PE")
    table = optional + optional_bytes
    end = table + sections * _SECTION.size
    # Both: `size` for what is not read, and the body for a file that shrank meanwhile.
    is_cut = end - at > size - start or len(body) < min(end, MAX_READ_BYTES - 2 * FIRST_BYTES)
    if is_cut or len(body) < optional + form.size:
        raise HeaderError("TRUNCATED_PE")
    row = form.unpack_from(body, optional)
    whole = (min(end, len(body)) - table) // _SECTION.size * _SECTION.size
    _check_sections(
        memoryview(body)[table : table + max(whole, 0)],
        row[_SECTION_ALIGNMENT],
        size + min(row[_FILE_ALIGNMENT], PAGE_BYTES),
    )
    return (optional_bytes, characteristics, sections, *row)


def _start(dos: bytes) -> int:
    """Where the PE signature should be."""
    if dos[:2] != b"MZ":
        raise HeaderError("NOT_PE")
    if len(dos) < DOS_BYTES:
        raise HeaderError("TRUNCATED_PE")
    _, start = _DOS.unpack_from(dos)
    if start >= MAX_START:
        raise HeaderError("NOT_PE")
    return int(start)


def _check_sections(table: memoryview, section_alignment: int, most: int) -> None:
    """Check that the sections need at most so many bytes of the file (rules 3 to 5).

    Raises HeaderError TRUNCATED_PE.
    """
    rounding = SECTOR_BYTES if section_alignment >= PAGE_BYTES else 1
    for virtual, raw, pointer in _SECTION.iter_unpack(table):
        if pointer + raw <= most or not raw or not pointer:
            continue  # it never needs more
        if pointer // rounding * rounding + _read_bytes(raw, virtual) > most:
            raise HeaderError("TRUNCATED_PE")


def _read_bytes(raw: int, virtual: int) -> int:
    if not virtual:
        return raw
    pages = -(-virtual // PAGE_BYTES)
    return min(raw, virtual) if raw <= pages * PAGE_BYTES else (pages - 1) * PAGE_BYTES + 1
