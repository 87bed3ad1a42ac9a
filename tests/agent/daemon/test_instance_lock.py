"""A home has one agent, and a killed agent leaves no lock behind."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from agent.daemon.instance_lock import PID_BYTES, HomeLock
from agent.errors import UserActionError


def test_a_second_holder_is_refused(tmp_path):
    with HomeLock(tmp_path / "lock"):
        assert not HomeLock(tmp_path / "lock").acquire()
        with pytest.raises(UserActionError) as raised, HomeLock(tmp_path / "lock"):
            pass
        assert raised.value.code == "HOME_IN_USE"
    with HomeLock(tmp_path / "lock"):
        pass


def test_p10_a_killed_holder_leaves_no_lock_behind(tmp_path):
    taking = (
        f"lock = HomeLock(Path({str(tmp_path / 'lock')!r})); lock.acquire() and print('locked',"
        " flush=True); input()"
    )
    script = f"from agent.daemon.instance_lock import HomeLock; from pathlib import Path; {taking}"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "locked\n"
    assert not HomeLock(tmp_path / "lock").acquire()
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    lock = HomeLock(tmp_path / "lock")
    assert lock.acquire()
    lock.release()


def test_the_file_names_its_holder_and_is_never_emptied(tmp_path):
    path = tmp_path / "lock"
    path.write_text("x" * 100)
    with HomeLock(path) as lock:
        assert path.stat().st_size == 100
        path.write_text(path.read_text()[:PID_BYTES])
        assert lock.holder() == os.getpid()
    assert HomeLock(tmp_path / "nowhere").holder() is None


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "dangling link"])
def test_what_is_no_plain_file_is_no_lock(tmp_path, kind):
    path, target = tmp_path / "lock", tmp_path / "target"
    target.write_text("precious")
    match kind:
        case "link":
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(tmp_path / "new")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    with pytest.raises(UserActionError) as raised:
        HomeLock(path).acquire()
    assert raised.value.code == "HOME_UNUSABLE"
    assert target.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def test_a_second_name_of_another_file_is_not_written_to(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").hardlink_to(tmp_path / "target")
    with HomeLock(tmp_path / "lock"):
        assert (tmp_path / "target").read_text() == "precious"


def test_a_holder_notices_that_its_file_was_replaced(tmp_path):
    with HomeLock(tmp_path / "lock") as lock:
        assert lock.is_current
        (tmp_path / "lock").unlink()
        assert not lock.is_current
        with HomeLock(tmp_path / "lock"):
            assert not lock.is_current


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_not_another_process(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserActionError) as raised, HomeLock(tmp_path / "lock"):
        pass
    assert raised.value.code == "NO_FILE_LOCKS"
