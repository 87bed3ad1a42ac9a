"""A program's checksums, its changes, and digests that name nothing."""

import hashlib
import os

import pytest

from agent.worker.files import RefusedFileError
from agent.worker.sources.program import Checksums, Program, is_program, keyed


def test_checksums_are_those_of_the_whole_file(tmp_path):
    content = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(content)
    program = Program(str(tmp_path / "a"))
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    assert (program.checksums, program.size) == (Checksums(md5, sha256), 3 << 20)


def test_a_change_of_its_times_is_a_change(tmp_path):
    (tmp_path / "a").write_bytes(b"MZ")
    before = Program(str(tmp_path / "a")).changed_at
    os.utime(tmp_path / "a", (0, 0))
    assert Program(str(tmp_path / "a")).changed_at >= before


@pytest.mark.parametrize(
    ("content", "expected"), [(b"MZ", True), (b"M", False), (b"\x7fELF", False)]
)
def test_a_program_begins_with_its_mark(tmp_path, content, expected):
    (tmp_path / "a").write_bytes(content)
    assert is_program(str(tmp_path / "a")) is expected


def test_p11_what_is_no_file_is_no_program_and_has_no_checksum(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_program(str(tmp_path / "pipe"))
    with pytest.raises(RefusedFileError):
        _ = Program(str(tmp_path / "missing")).checksums


def test_p11_a_huge_file_has_no_checksum(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(RefusedFileError, match="TOO_LARGE"):
        _ = Program(str(tmp_path / "a")).checksums


def test_a_keyed_digest_depends_on_key_and_text():
    digests = {keyed(key, text) for key in (b"k", b"l") for text in ("/a", "/b", "\udcff")}
    assert len(digests) == 6
    assert {len(one) for one in digests} == {64}
