"""What a file system answers, and its name from the mounts."""

import errno
import fcntl
import mmap
from pathlib import Path

import psutil
import pytest

from agent.files import file_system
from agent.files.file_system import NONE_HERE, has_locks, has_shared_maps, innermost, name

MOUNTS = [
    (Path("/"), "ext4"),
    (Path("/home"), "nfs4"),
    (Path("/home/a b"), "fuse.sshfs"),
    (Path("/mnt"), "tmpfs"),
    (Path("/mnt"), "9p"),
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/home/someone/aegis", "nfs4"),
        ("/home", "nfs4"),
        ("/homes", "ext4"),
        ("/home/a b/c", "fuse.sshfs"),
        ("/mnt/x", "9p"),
    ],
)
def test_the_kind_is_that_of_the_innermost_and_newest_mount(folder, kind):
    assert innermost(Path(folder), MOUNTS) == kind
    assert innermost(Path(folder), []) == ""


def test_the_error_names_the_file_system_where_it_is_known(tmp_path, monkeypatch):
    makers = (file_system.no_locks_for_agent, file_system.no_locks_for_server)
    assert all(f"({name(tmp_path)})" in make(tmp_path).message for make in makers)

    def fail(**_):
        raise OSError(errno.EACCES, "no table of mounts")

    monkeypatch.setattr(psutil, "disk_partitions", fail)
    assert name(tmp_path) == ""
    assert all("folder has no file locks" in make(tmp_path).message for make in makers)


def test_an_ordinary_file_system_has_both_and_keeps_no_file_of_the_probe(tmp_path):
    assert has_locks(tmp_path)
    assert has_shared_maps(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", sorted(NONE_HERE))
def test_a_file_system_that_does_not_know_them_is_believed(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    monkeypatch.setattr(mmap, "mmap", refuse)
    assert not has_locks(tmp_path)
    assert not has_shared_maps(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EIO, errno.ENOMEM])
def test_any_other_failure_proves_nothing(tmp_path, monkeypatch, number):
    def fail(*_):
        raise OSError(number, "for another reason")

    monkeypatch.setattr(fcntl, "lockf", fail)
    monkeypatch.setattr(mmap, "mmap", fail)
    assert has_locks(tmp_path)
    assert has_shared_maps(tmp_path)


def test_a_folder_that_takes_no_file_proves_nothing(tmp_path):
    assert has_locks(tmp_path / "missing")
    assert has_shared_maps(tmp_path / "missing")
