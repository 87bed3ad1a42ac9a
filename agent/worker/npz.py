"""Reads plain arrays of numbers from an .npz file, which may be hostile.

numpy.load evaluates the header of an array as Python and reads the whole list of an archive's
members first. This reads less and refuses the rest:

1. The archive's list is short, and its members are stored or deflated.
2. A member states its size, and not one byte more is unpacked.
3. An array's header is the text that numpy writes, of a number's type and at most two dimensions.
4. What follows the header is exactly the array.
"""

import re
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_LIST_BYTES = 64 * 1024
MAX_HEADER_BYTES = 1024
_END, _END_BYTES, _MAX_COMMENT = b"PK\x05\x06", 22, 0xFFFF
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAGIC = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4, b"\x93NUMPY\x03\x00": 4}
"""By magic and version: how many bytes the header's length takes."""
_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>|=]?(?:b1|[iu][1248]|f[248]))',"
    rb" 'fortran_order': (?P<order>True|False),"
    rb" 'shape': \((?P<rows>\d{1,10})L?,(?: ?(?P<columns>\d{1,10})L?,?)?\),? ?\}\s*"
)


class NpzError(Exception):
    """The file has another form."""


class TooLargeError(NpzError):
    """A member states that it is larger than the caller permits."""


def read_arrays(file: BinaryIO, names: tuple[str, ...], max_bytes: int) -> list[NDArray[Any]]:
    """Return these arrays. Raises NpzError and TooLargeError."""
    _check_list(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [archive.getinfo(f"{name}.npy") for name in names]
            if any(member.file_size > max_bytes for member in members):
                raise TooLargeError
            return [_array(_content(archive, member)) for member in members]
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,  # no such member
        NotImplementedError,
        RuntimeError,  # encrypted
        ValueError,
        OverflowError,
    ) as error:
        raise NpzError from error


def _check_list(file: BinaryIO) -> None:
    """Check how long the archive's list is, before it is read (rule 1)."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES - _MAX_COMMENT - _LOCATOR_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    list_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if at < 0 or len(tail) - at < _END_BYTES or list_bytes > MAX_LIST_BYTES:
        raise NpzError
    if tail[:at][-_LOCATOR_BYTES:].startswith(_LOCATOR):  # a second record, for huge archives
        raise NpzError
    file.seek(0)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in _METHODS:
        raise NpzError
    with archive.open(member) as stream:
        content = stream.read(member.file_size)
        if len(content) != member.file_size or stream.read(1):
            raise NpzError
    return content


def _array(content: bytes) -> NDArray[Any]:
    length_bytes = _MAGIC.get(content[:8])
    if length_bytes is None:
        raise NpzError
    start = 8 + length_bytes
    length = int.from_bytes(content[8:start], "little")
    header = _HEADER.fullmatch(content[start : start + min(length, MAX_HEADER_BYTES)])
    if header is None or length > MAX_HEADER_BYTES:
        raise NpzError
    shape = tuple(int(one) for one in (header["rows"], header["columns"]) if one is not None)
    kind = np.dtype(header["type"].decode("ascii"))
    values = np.frombuffer(_exactly(content, start + length, shape, kind), kind)
    return values.reshape(shape, order="F" if header["order"] == b"True" else "C")


def _exactly(content: bytes, start: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> memoryview:
    """Return the array's bytes (rule 4)."""
    count = 1
    for one in shape:
        count *= one
    if len(content) - start != count * kind.itemsize:
        raise NpzError
    return memoryview(content)[start:]
