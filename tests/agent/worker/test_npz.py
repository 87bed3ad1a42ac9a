"""Arrays are read as numpy writes them; any other file is refused before it costs something."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, boolean_dtypes, floating_dtypes, integer_dtypes

from agent.worker.npz import MAX_LIST_BYTES, NpzError, TooLargeError, read_arrays

MOST = 10_000
HEADER = "{'descr': '<u8', 'fortran_order': False, 'shape': (2, 3), }"


def saved(save=np.savez, **values):
    file = io.BytesIO()
    save(file, **values)
    return file


def zipped(method=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file


def array_file(header=HEADER, content=bytes(48), version=1, length=None):
    text = header.encode() + b"\n"
    stated = len(text) if length is None else length
    size = stated.to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + content


NUMBERS = (
    integer_dtypes(endianness="?") | floating_dtypes(endianness="?", sizes=(16, 32, 64))
) | boolean_dtypes()


@given(
    NUMBERS.flatmap(lambda kind: arrays(kind, st.tuples(st.integers(0, 4), st.integers(0, 4)))),
    st.sampled_from([np.savez, np.savez_compressed]),
    st.booleans(),
)
def test_what_numpy_writes_is_read_alike(values, save, is_fortran):
    written = np.asfortranarray(values) if is_fortran else values
    file = saved(save, X=written, y=written[:, :1].ravel(), other=np.array(["text"]))
    rows, labels = read_arrays(file, ("X", "y"), MOST)
    np.testing.assert_array_equal(rows, values)
    np.testing.assert_array_equal(labels, values[:, :1].ravel())
    assert rows.dtype == values.dtype


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_the_format_is_read(version):
    (found,) = read_arrays(zipped(X=array_file(version=version)), ("X",), MOST)
    assert found.shape == (2, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        array_file()[:-1],
        array_file() + b"x",
        array_file(version=4),
        array_file(length=60_000),
        array_file(header=HEADER.replace("<u8", "|O")),
        array_file(header=HEADER.replace("<u8", "<f1")),
        array_file(header=HEADER.replace("<u8", "<b8")),
        array_file(header=HEADER.replace("<u8", "<U4")),
        array_file(header=HEADER.replace("(2, 3)", "(1, 2, 3)")),
        array_file(header=HEADER.replace("(2, 3)", "(-2, -3)")),
        array_file(header=HEADER.replace("(2, 3)", "(4294967296, 4294967296)")),
        array_file(header=HEADER.replace("(2, 3)", "()")),
        array_file(header="(" * 500),
        array_file(header=")"),
        array_file(header="__import__('os').abort()"),
        array_file(header=HEADER + " " * 2000),
    ],
)
def test_p11_another_form_of_an_array_is_refused(content):
    with pytest.raises(NpzError):
        read_arrays(zipped(X=content), ("X",), MOST)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_p11_another_compression_is_refused(method):
    with pytest.raises(NpzError):
        read_arrays(zipped(method, X=array_file()), ("X",), MOST)


def test_p11_a_member_that_is_missing_encrypted_or_too_large_is_refused():
    with pytest.raises(NpzError):
        read_arrays(saved(X=np.zeros(3)), ("y",), MOST)
    with pytest.raises(TooLargeError):
        read_arrays(saved(X=np.zeros(MOST)), ("X",), MOST)
    encrypted = bytearray(zipped(X=array_file()).getvalue())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.find(signature) + flags] |= 1
    with pytest.raises(NpzError):
        read_arrays(io.BytesIO(encrypted), ("X",), MOST)


def test_p11_a_long_list_is_refused_before_it_is_read():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(MAX_LIST_BYTES // 50):
            archive.writestr(f"{number}.npy", b"")
        archive.writestr("X.npy", array_file())
    with pytest.raises(NpzError):
        read_arrays(file, ("X",), MOST)


def test_p11_a_second_record_for_huge_archives_is_refused():
    """It could state another list than the one whose length was checked."""
    content = zipped(X=array_file()).getvalue()
    at = content.rfind(b"PK\x05\x06")
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)
    with pytest.raises(NpzError):
        read_arrays(io.BytesIO(content[:at] + locator + content[at:]), ("X",), MOST)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06", b"x" * 100_000])
def test_p11_what_is_no_archive_is_refused(content):
    with pytest.raises(NpzError):
        read_arrays(io.BytesIO(content), ("X",), MOST)
