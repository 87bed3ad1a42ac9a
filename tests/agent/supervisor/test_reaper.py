"""No worker outlives its agent."""

import os
import subprocess

from agent.paths import RECORD_PREFIX
from agent.supervisor import reaper


def test_p10_a_worker_left_behind_is_killed_and_a_reused_pid_is_not(tmp_path):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        reaper.note(tmp_path, child.pid)
        reaper.note(tmp_path, os.getpid())
        (tmp_path / f"{RECORD_PREFIX}{os.getpid()}").write_text(
            "1.000"
        )  # somebody else had this pid
        (tmp_path / f"{RECORD_PREFIX}x").write_text("broken")
        assert reaper.reap(tmp_path) == [child.pid]
        assert child.wait(60) == -9
        assert list(tmp_path.iterdir()) == []
        reaper.note(tmp_path, os.getpid())
        reaper.strike_off(tmp_path, os.getpid())
        assert reaper.reap(tmp_path) == []
    finally:
        child.kill()
        child.wait()
