"""A worker that an agent left behind is killed at the next start, and nothing else is."""

import os
import subprocess

from agent.paths import RECORD_PREFIX
from agent.supervisor import reaper
from tests.fakes.timeouts import TIMEOUT_S


def test_p10_a_worker_left_behind_is_killed_and_a_reused_pid_is_not(tmp_path):
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    try:
        reaper.record(tmp_path, child.pid)
        reaper.record(tmp_path, os.getpid())
        # Another process had this pid.
        (tmp_path / f"{RECORD_PREFIX}{os.getpid()}").write_text("1.000")
        (tmp_path / f"{RECORD_PREFIX}x").write_text("broken")
        assert reaper.reap(tmp_path) == [child.pid]
        assert child.wait(TIMEOUT_S) == -9
        assert list(tmp_path.iterdir()) == []
        reaper.record(tmp_path, os.getpid())
        reaper.remove_record(tmp_path, os.getpid())
        assert reaper.reap(tmp_path) == []
    finally:
        child.kill()
        child.wait()
