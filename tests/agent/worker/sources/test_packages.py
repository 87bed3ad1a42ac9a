"""A file is a package's when its list says so and the checksum is right."""

import hashlib

import pytest

from agent.worker.sources.packages import INFO, Packages
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places


@pytest.fixture
def system(tmp_path):
    """A small system with one package of one file."""
    (tmp_path / INFO).mkdir(parents=True)
    file = tmp_path / "usr/share/tool/a b.exe"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"MZ content")
    digest = hashlib.md5(b"MZ content").hexdigest()
    (tmp_path / INFO / "tool.md5sums").write_text(f"{digest}  usr/share/tool/a b.exe\nnonsense\n")
    return tmp_path


def known(system, name="usr/share/tool/a b.exe"):
    path = str(system / name)
    source = Packages(Places([str(system / INFO)]), [path])
    return source.knows(Program(path)), source.problem


def test_a_file_that_matches_is_known_and_one_altered_byte_is_not(system):
    assert known(system) == (True, "")
    (system / "usr/share/tool/a b.exe").write_bytes(b"MZ cOntent")
    assert known(system) == (False, "")


def test_a_file_of_no_package_is_not_known(system):
    (system / "usr/share/tool/b.exe").write_bytes(b"MZ content")
    assert known(system, "usr/share/tool/b.exe") == (False, "")


def test_a_file_is_known_through_a_merged_folder_too(system):
    (system / "lib").symlink_to(system / "usr/lib")
    (system / "usr/lib").mkdir()
    (system / "usr/lib/x.exe").write_bytes(b"MZ")
    (system / INFO / "old.md5sums").write_text(f"{hashlib.md5(b'MZ').hexdigest()}  lib/x.exe\n")
    assert known(system, "usr/lib/x.exe") == (True, "")


@pytest.mark.parametrize(
    "line",
    ["{md5} usr/share/tool/a b.exe", "{md5}  ../../etc/passwd", "{md5}x  usr/share/tool/a b.exe"],
)
def test_p11_a_list_in_another_form_says_nothing(system, line):
    digest = hashlib.md5(b"MZ content").hexdigest()
    (system / INFO / "tool.md5sums").write_bytes(line.format(md5=digest).encode() + b"\xff\n")
    assert known(system) == (False, "")


def test_p11_a_list_that_cannot_be_read_is_a_problem(system):
    (system / INFO / "dir.md5sums").mkdir()
    assert known(system) == (True, "UNREADABLE")
    source = Packages(Places([str(system / "missing")]), [])
    assert source.problem == "UNREADABLE"
