"""What the Windows loader takes for an executable is scored, what it does not take is named."""

import struct
from pathlib import Path

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detector.schema import FEATURE_NAMES, FILE_HEADER_NAMES, validate_row
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError
from agent.worker.pe_headers import MAX_START, HeaderError, feature_row
from tests.fakes.executables import executable, section

CASES = Path(__file__).parents[4] / "shared" / "cases" / "pe"
ROM_MAGIC = 0x107


def verdict(content):
    """ "PE", or the code of the refusal."""
    try:
        row = feature_row(lambda start, count: content[start : start + count], len(content))
    except HeaderError as error:
        return error.code
    assert validate_row(row) is None
    return "PE"


def as_pefile_reads(content):
    parsed = pefile.PE(data=content, fast_load=True)
    return tuple(
        getattr(parsed.FILE_HEADER if name in FILE_HEADER_NAMES else parsed.OPTIONAL_HEADER, name)
        for name in FEATURE_NAMES
    )


@pytest.mark.parametrize("magic", [0x10B, 0x20B])
@pytest.mark.parametrize("start", [4, 0x40, 0x80, 0x3000])
def test_a_row_is_what_pefile_reads(magic, start):
    content = executable(magic=magic, start=start, size=start + 1024)
    row = feature_row(lambda at, count: content[at : at + count], len(content))
    assert row == as_pefile_reads(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (executable(sections=[section(0x1000, 0xFFFF0200)]), "PE"),
        (executable(sections=[section(0x200, 0x10000)], size=4608), "PE"),
        (executable(sections=[section(0x200, 0x10000)]), "PE"),
        (executable(sections=[section(raw=0x8000, virtual=0x8000)], size=4608), "TRUNCATED_PE"),
        (executable(sections=[section(raw=0x8000, virtual=0)], size=4608), "TRUNCATED_PE"),
        (executable(sections=[section(raw=0xFFFF0200, virtual=0x3000)]), "TRUNCATED_PE"),
        (executable(sections=[section(0x123)], size=803), "PE"),
        (executable(sections=[section(pointer=0x210)]), "PE"),
        (executable(sections=[section(raw=0, virtual=0x9000, pointer=0x9000)]), "PE"),
        (executable(sections=[section(raw=0x9000, virtual=0x9000, pointer=0)]), "PE"),
        (executable(sections=[section(), section(0x400, 0x400, 0x200)], size=1536), "PE"),
        (executable(sections=[]), "PE"),
        (executable(sections=[section()] * 200, size=9000), "PE"),
        (executable(number_of_sections=0xFFFF), "TRUNCATED_PE"),
        (executable(directories=0xFFFFFFFF), "PE"),
        (executable(directories=0), "PE"),
        (executable(section_alignment=0x20, file_alignment=0x20, size=1024), "PE"),
        (executable(file_alignment=0, size=1024), "PE"),
    ],
)
def test_sections_need_what_the_loader_maps_of_them(content, expected):
    assert verdict(content) == expected


def test_p11_a_file_that_is_cut_anywhere_is_refused_or_lacks_padding_only():
    whole = executable(sections=[section(0x800, 0x800)], size=0x200 + 0x800)
    verdicts = {size: verdict(whole[:size]) for size in range(len(whole))}
    assert {verdicts[size] for size in range(2)} == {"NOT_PE"}
    assert {verdicts[size] for size in range(2, 0x800)} == {"TRUNCATED_PE"}
    assert {verdicts[size] for size in range(0x800, len(whole))} == {"PE"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (executable(magic=ROM_MAGIC), "BROKEN_PE"),
        (executable(optional_bytes=0), "BROKEN_PE"),
        (executable(optional_bytes=60), "PE"),
        (executable(optional_bytes=2), "PE"),
        (executable(optional_bytes=0xFFFF), "TRUNCATED_PE"),
        (executable(magic=0), "BROKEN_PE"),
    ],
)
def test_the_magic_says_whether_there_is_an_optional_header(content, expected):
    """Where the optional header is said to have no bytes, the section table stands in its place."""
    assert verdict(content) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (0x3000, "PE"),
        (3 * 1024 * 1024, "PE"),
        (MAX_START, "NOT_PE"),
        (0xFFFFFFF0, "NOT_PE"),
        (0, "NOT_PE"),
    ],
)
def test_headers_far_into_a_file_are_read_there(tmp_path, start, expected):
    path = tmp_path / "far.exe"
    size = min(start, 4 * 1024 * 1024) + 1024
    content = executable()
    with path.open("wb") as file:
        file.write(content[:60] + struct.pack("<I", start))
        file.seek(size - 1024)
        file.write(content[0x40:])
    try:
        found = "PE" if read_features(str(path)).features else ""
    except RefusedFileError as error:
        found = error.code
    assert found == expected


@pytest.mark.parametrize(
    "content", [b"VZ" + bytes(200), b"\x64\x86" + bytes(18), b"ZM" + bytes(99)]
)
def test_other_formats_are_no_executables(content):
    assert verdict(content) == "NOT_PE"


@given(
    st.builds(
        executable,
        magic=st.sampled_from([0x10B, 0x20B]),
        start=st.integers(64, 2000),
        sections=st.lists(
            st.builds(
                section,
                st.integers(0, 2**32 - 1),
                st.integers(0, 2**32 - 1),
                st.integers(0, 2**32 - 1),
            ),
            max_size=5,
        ),
        directories=st.integers(0, 2**32 - 1),
        size=st.just(4096),
    ),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
def test_p11_where_both_read_a_file_the_rows_are_the_same(content, changes):
    changed = bytearray(content)
    start = int.from_bytes(content[60:64], "little")
    for place, value in changes:
        changed[start + place] = value
    try:
        expected = as_pefile_reads(bytes(changed))
    except pefile.PEFormatError:
        expected = None
    try:
        row = feature_row(lambda at, count: bytes(changed[at : at + count]), len(changed))
    except HeaderError:
        return
    assert row == expected


@pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases, which is not here")
def test_the_shared_cases_have_the_right_value():
    lines = (CASES / "EXPECTED.txt").read_text().splitlines()
    expected = dict(line.split("\t", 1) for line in lines)
    for name, text in expected.items():
        found = verdict((CASES / name).read_bytes())
        code = text.split(":")[0].split(" (")[0].strip()
        allowed = {"not PE": ["NOT_PE"], "PE or BROKEN; no crash": ["PE", "BROKEN_PE"]}
        assert found in allowed.get(code, allowed.get(text, [code])), (name, text, found)
