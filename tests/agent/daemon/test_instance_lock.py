"""A home has one agent, and a killed agent leaves no lock behind."""

import errno
import fcntl
import subprocess
import sys

import pytest

from agent.daemon.instance_lock import HomeLock
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


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_not_another_process(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserActionError) as raised, HomeLock(tmp_path / "lock"):
        pass
    assert raised.value.code == "NO_FILE_LOCKS"
