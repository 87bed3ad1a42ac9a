"""One training per machine, and no worker that outlives its agent."""

import os
import subprocess
import sys

import pytest

from agent.errors import UserActionError
from agent.paths import RECORD_PREFIX
from agent.supervisor import reaper
from agent.supervisor.reaper import MachineSlot


def test_one_slot_per_machine_and_the_kernel_frees_it(tmp_path):
    mine, other = MachineSlot(tmp_path), MachineSlot(tmp_path)
    assert mine.take()
    assert not other.take()
    mine.free()
    assert other.take()
    other.free()
    holder = (
        "import sys; from pathlib import Path; from agent.supervisor.reaper import MachineSlot\n"
    )
    holder += (
        "slot = MachineSlot(Path(sys.argv[1])); print(slot.take(), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"True\n"
    assert not mine.take()
    child.kill()
    child.wait()
    assert mine.take()
    mine.free()
    for pipe in (child.stdin, child.stdout):
        pipe.close()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("x")
    (tmp_path / "aegisai-training.lock").symlink_to(tmp_path / "victim")
    with pytest.raises((UserActionError, OSError)):
        MachineSlot(tmp_path).take()


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
