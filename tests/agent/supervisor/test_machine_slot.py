"""One training at a time on a machine, whoever is logged in."""

import errno
import fcntl
import subprocess
import sys

import pytest

from agent.errors import UserActionError
from agent.supervisor.machine_slot import MAX_TRIES, RETRY_S, MachineSlot


def test_one_slot_per_machine_and_the_kernel_frees_it(tmp_path):
    mine, other = MachineSlot(tmp_path), MachineSlot(tmp_path)
    assert mine.take()
    assert not other.take()
    mine.free()
    assert other.take()
    other.free()
    holder = (
        "import sys; from pathlib import Path\n"
        "from agent.supervisor.machine_slot import MachineSlot\n"
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


async def test_a_training_waits_for_the_slot_and_frees_it(tmp_path):
    other, waits = MachineSlot(tmp_path), []
    assert other.take()

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            other.free()

    async with MachineSlot(tmp_path, sleep=sleep):
        assert not other.take()
    assert waits == [RETRY_S] * 3
    assert other.take()
    other.free()


async def test_a_training_gives_up_on_a_slot_that_stays_taken(tmp_path):
    other, waits = MachineSlot(tmp_path), []
    assert other.take()

    async def sleep(seconds):
        waits.append(seconds)

    with pytest.raises(UserActionError) as raised:
        async with MachineSlot(tmp_path, sleep=sleep):
            pass
    assert (raised.value.code, len(waits)) == ("TRAINING_ELSEWHERE", MAX_TRIES)
    other.free()


def test_a_lock_that_fails_for_another_reason_is_not_another_training(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    slot = MachineSlot(tmp_path)
    with pytest.raises(UserActionError) as raised:
        slot.take()
    slot.free()
    assert "cannot be opened" in raised.value.message
