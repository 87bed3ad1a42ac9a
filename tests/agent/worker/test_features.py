"""One file to one row: the same numbers as pefile reads, from the headers alone, within a limit of
time.
"""

import hashlib
import os
import signal
import struct
import threading
from pathlib import Path

import pefile
import pytest
import setuptools

from agent.detector.schema import FEATURE_NAMES, FILE_HEADER_NAMES, validate_row
from agent.worker import features as module
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError
from agent.worker.pe_headers import FIRST_BYTES, MAX_READ_BYTES
from tests.fakes.executables import executable, section

PROGRAMS = sorted(Path(setuptools.__file__).parent.glob("*.exe"))
"""Real executables for three processors, 32 and 64 bit."""
WHOLE = PROGRAMS[0].read_bytes()
START = int.from_bytes(WHOLE[60:64], "little")


def refusal(path, content=None, *, hashed=False):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RefusedFileError) as raised:
        read_features(str(path), hashed=hashed)
    return raised.value.code


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_a_row_is_what_pefile_reads(path):
    parsed = pefile.PE(path, fast_load=True)
    expected = [
        getattr(parsed.FILE_HEADER if name in FILE_HEADER_NAMES else parsed.OPTIONAL_HEADER, name)
        for name in FEATURE_NAMES
    ]
    row = read_features(str(path)).features
    assert list(row) == expected
    assert validate_row(row) is None


def test_the_digest_is_of_the_whole_file_and_only_made_when_asked_for():
    assert read_features(str(PROGRAMS[0]), hashed=True).sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert read_features(str(PROGRAMS[0])).sha256 == ""


def test_what_lies_behind_the_headers_changes_nothing(tmp_path):
    (tmp_path / "a.exe").write_bytes(WHOLE[:4096] + bytes(len(WHOLE) - 4096) + b"appended")
    assert (
        read_features(str(tmp_path / "a.exe")).features == read_features(str(PROGRAMS[0])).features
    )


def test_headers_far_into_the_file_are_found(tmp_path):
    """A long DOS stub moves them beyond the first read."""
    shift = 3 * FIRST_BYTES
    moved = (
        WHOLE[:60]
        + struct.pack("<I", shift)
        + bytes(shift - 64)
        + WHOLE[START : START + 1024]
        + bytes(len(WHOLE))
    )
    (tmp_path / "a.exe").write_bytes(moved)
    assert (
        read_features(str(tmp_path / "a.exe")).features == read_features(str(PROGRAMS[0])).features
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "NOT_PE"),
        (b"MX" + WHOLE[2:], "NOT_PE"),
        (b"MZ", "TRUNCATED_PE"),
        (WHOLE[:63], "TRUNCATED_PE"),
        (WHOLE[: START + 20], "TRUNCATED_PE"),
        (WHOLE[: START + 100], "TRUNCATED_PE"),
        (WHOLE[: len(WHOLE) // 2], "TRUNCATED_PE"),
        (WHOLE[:START] + b"NE\0\0" + WHOLE[START + 4 :], "NOT_PE"),
        (
            WHOLE[: START + 6]
            + bytes(2)
            + WHOLE[START + 8 : START + 20]
            + bytes(2)
            + WHOLE[START + 22 : START + 24],
            "BROKEN_PE",
        ),
    ],
    ids=[
        "empty",
        "no MZ",
        "only MZ",
        "63 bytes",
        "in the file header",
        "in the optional header",
        "in a section",
        "NE",
        "nothing behind the file header",
    ],
)
def test_p11_each_defect_has_its_code(tmp_path, content, code):
    assert refusal(tmp_path / "a.exe", content) == code


def test_p11_a_number_of_sections_that_no_file_has_is_refused_and_not_read(tmp_path):
    sections = WHOLE[: START + 6] + b"\xff\xff" + WHOLE[START + 8 :]
    assert refusal(tmp_path / "a.exe", sections[:8000]) == "TRUNCATED_PE"


def test_p11_a_parser_that_does_not_end_is_stopped_and_the_timer_is_gone_after_it(monkeypatch):
    def endless(*_):
        while True:
            pass

    before = signal.getsignal(signal.SIGPROF)
    monkeypatch.setattr(module, "FILE_LIMIT_S", 0.05)
    monkeypatch.setattr(module, "feature_row", endless)
    assert refusal(PROGRAMS[0], hashed=True) == "TOO_SLOW"
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) is before


def test_in_another_thread_there_is_no_timer_and_the_row_is_the_same():
    rows = []
    thread = threading.Thread(target=lambda: rows.append(read_features(str(PROGRAMS[0]))))
    thread.start()
    thread.join()
    assert rows == [read_features(str(PROGRAMS[0]))]


def test_p11_at_most_64_kib_of_a_file_are_read_whatever_its_header_claims(tmp_path, monkeypatch):
    read = []

    def counting(descriptor, count, start):
        content = os.pread(descriptor, count, start)
        read.append(len(content))
        return content

    monkeypatch.setattr(module, "read_bytes", counting)
    far = executable(number_of_sections=0xFFFF, optional_bytes=0xF000, size=6000)
    path = tmp_path / "far.exe"
    with path.open("wb") as file:
        file.write(far[:60] + struct.pack("<I", 1 << 20))
        file.seek(1 << 20)
        file.write(far[0x40:])
        file.truncate(8 << 20)
    assert len(read_features(str(path)).features) == 29
    assert sum(read) <= MAX_READ_BYTES
    assert len(read) == 3


def test_p11_a_section_that_is_not_there_is_noticed_within_the_bytes_that_are_read(tmp_path):
    path = tmp_path / "many.exe"
    missing, there = section(pointer=0x7000_0000), section()
    path.write_bytes(executable(sections=[there] * 1300 + [missing], size=200_000))
    assert refusal(path) == "TRUNCATED_PE"
    path.write_bytes(executable(sections=[there] * 3000 + [missing], size=200_000))
    assert len(read_features(str(path)).features) == 29
