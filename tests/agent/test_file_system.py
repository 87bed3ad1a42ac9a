"""What a file system answers, and its name from the system's table of mounts."""

import errno
import fcntl
import mmap

import pytest

from agent import file_system
from agent.file_system import NONE_HERE, has_locks, has_shared_maps, name

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:40 / /home rw,nosuid shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/a\040b rw - fuse.sshfs a@b: rw
32 21 0:42 / /mnt rw - tmpfs tmpfs rw
33 21 0:43 / /mnt rw - 9p share rw
""".strip()


@pytest.fixture
def mounts(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    return table


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
def test_the_kind_is_that_of_the_innermost_and_newest_mount(folder, kind, mounts):
    assert name(type(mounts)(folder), mounts) == kind


def test_without_a_table_there_is_no_name(tmp_path):
    assert name(tmp_path, tmp_path / "missing") == ""
    for make in (file_system.no_locks_for_agent, file_system.no_locks_for_server):
        assert make(tmp_path, "detail").code == "NO_FILE_LOCKS"


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
