"""A file is the old one or the new one, whole and private, whatever fails in between."""

import os
import stat

import pytest

from agent.files import atomic_file


def test_content_and_mode(tmp_path):
    path = tmp_path / "file"
    atomic_file.write(path, b"one")
    path.chmod(0o644)
    atomic_file.write(path, b"two")
    assert atomic_file.read(path, 3) == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_flushed_before_its_name_and_the_folder_after(tmp_path, monkeypatch):
    order = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor):
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        real_fsync(descriptor)

    def replace(source, target):
        order.append("name")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    atomic_file.write(tmp_path / "file", b"content")
    assert order == ["content", "name", "folder"]
    atomic_file.remove(tmp_path / "file")
    assert order[3:] == ["folder"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_p10_a_failure_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    atomic_file.write(path, b"old")

    def failing(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, step, failing)
    with pytest.raises(OSError, match="no space"):
        atomic_file.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_p10_what_a_killed_write_left_is_cleared_and_nothing_else(tmp_path):
    kept = [
        tmp_path / name
        for name in (".file.12.abc", "file.12.0123abcd", ".hidden", ".file.12.0123ABCD")
    ]
    left = tmp_path / ".file.12.0123abcd"
    for path in (*kept, left):
        path.touch()
    atomic_file.clear_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_p11_a_larger_file_than_expected_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(11))
    assert len(atomic_file.read(path, 11)) == 11
    with pytest.raises(ValueError, match="at most 10 bytes"):
        atomic_file.read(path, 10)
    with pytest.raises(FileNotFoundError):
        atomic_file.read(tmp_path / "none", 10)


def test_a_probe_is_a_private_file_of_its_size_and_gone_afterwards(tmp_path):
    with atomic_file.probe(tmp_path, 5) as descriptor:
        facts = os.fstat(descriptor)
        assert (facts.st_size, stat.S_IMODE(facts.st_mode)) == (5, 0o600)
    assert list(tmp_path.iterdir()) == []


def test_removing_what_is_not_there_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    atomic_file.remove(tmp_path / "file")
    atomic_file.remove(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
