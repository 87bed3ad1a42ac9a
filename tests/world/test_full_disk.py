"""Withdrawing, erasing and every other command on a disk that is full or read-only.

Real commands and agents on a small tmpfs of their own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.commands import TABLE
from tests.fakes.device_on_disk import DeviceOnDisk
from tests.fakes.installation import PROGRAMS
from tests.fakes.small_disk import SmallDisk
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a disk needs root"
    ),
]
NOT_SAVED = (
    "aegis: NOT_SAVED: Everything has stopped, but your withdrawal is not saved: the disk cannot be"
    " written. Repeat aegis consent withdraw when the disk is writable.\n"
)
ROOT = Path(__file__).parents[2]
PROGRAM = os.fspath(PROGRAMS[0])
WORDS = {
    "consent grant": ("--accept", "unknown"),
    "enroll": ("aegis1-unreadable",),
    "export": ("export.json",),
    "run": ("--once",),
    "samples add": (PROGRAM, "--label", "benign"),
    "samples import": ("none.npz",),
    "samples mark": (PROGRAM, "--label", "benign"),
    "scan": (PROGRAM,),
    "sent": ("0" * 32,),
    "settings set": ("cpu.share_idle", "20"),
    "sources add": (".",),
    "sources log": ("clamscan.log",),
    "sources off": ("wheels",),
    "sources on": ("wheels",),
    "sources remove": (".",),
}
"""What a command needs besides its name."""
LAST = ("consent withdraw", "erase")


@pytest.fixture
def disk(tmp_path):
    with SmallDisk(tmp_path / "disk", "2m") as disk:
        yield disk


@pytest.fixture
def device(disk, tmp_path):
    device = DeviceOnDisk(disk, tmp_path / "run")
    yield device
    device.stop_agents()


def every_command():
    names = [command.words for command in TABLE]
    return [name for name in names if name not in LAST] + list(LAST)


@pytest.mark.parametrize("limit", ["full", "read-only", "few descriptors"])
def test_p11_every_command_says_one_line(device, disk, limit):
    assert device.grant()[0] == 0
    before = ()
    if limit == "full":
        disk.fill()
    elif limit == "read-only":
        disk.remount("ro")
    else:
        before = ("prlimit", "--nofile=12")
    for name in every_command():
        code, output, errors = device.run(*name.split(), *WORDS.get(name, ()), before=before)
        assert "Traceback" not in output + errors, (name, errors)
        assert code in (0, 1, 3), (name, code, errors)
        assert len(errors.splitlines()) == (code == 1), (name, code, output, errors)


def test_p2_withdrawing_without_an_agent_works_on_a_full_disk(device, disk):
    device.grant()
    disk.fill()
    assert device.consent() == "GRANTED"
    code, _, errors = device.run("consent", "withdraw")
    assert (code, errors) == (0, "")
    assert device.consent() == "WITHDRAWN"
    disk.free()
    assert device.consent() == "WITHDRAWN"
    granted, withdrawn = record_of(device)
    assert (granted["decision"], withdrawn["decision"]) == ("granted", "withdrawn")
    assert withdrawn["surface"] == "cli"


def test_p2_withdrawing_stops_a_running_agent_on_a_full_disk_and_is_remembered(device, disk):
    device.grant()
    agent = device.start_agent()
    disk.fill()
    code, _, errors = device.run("consent", "withdraw")
    assert (code, errors) == (0, "")
    assert agent.poll() is None
    agent.kill()
    agent.wait(TIMEOUT_S)
    assert device.consent() == "WITHDRAWN"
    disk.free()
    assert device.consent() == "WITHDRAWN"
    assert [entry["decision"] for entry in record_of(device)] == ["granted", "withdrawn"]


def test_p2_withdrawing_on_a_read_only_home_says_that_it_is_not_saved(device, disk):
    device.grant()
    disk.remount("ro")
    assert device.run("consent", "withdraw") == (1, "", NOT_SAVED)
    disk.remount("rw")
    # In this login a mark remembers it, so the next agent asks again.
    assert device.consent() == "WITHDRAWN"
    assert [entry["decision"] for entry in record_of(device)] == ["granted", "withdrawn"]
    assert device.grant()[0] == 0
    assert device.consent() == "GRANTED"


def test_p2_withdrawing_stops_an_agent_whose_disk_has_become_read_only(tmp_path):
    with SmallDisk(tmp_path / "disk", "8m", image=tmp_path / "image") as disk:
        device = DeviceOnDisk(disk, tmp_path / "run")
        try:
            device.grant()
            agent = device.start_agent()
            disk.fail()
            assert device.run("consent", "withdraw") == (1, "", NOT_SAVED)
            assert device.consent() == "WITHDRAWN"
            device.stop_agents()
            assert agent.returncode is not None
            disk.repair()
            assert device.consent() == "WITHDRAWN"
            assert [entry["decision"] for entry in record_of(device)] == ["granted", "withdrawn"]
        finally:
            device.stop_agents()


def test_p1_a_yes_on_a_full_disk_is_refused_and_stays_a_no(device, disk):
    device.answer("resume")  # makes the store; reading commands make nothing
    notice_id = device.answer("consent", "show")["notice_id"]
    disk.fill()
    code, _, errors = device.run("consent", "grant", "--accept", notice_id)
    assert code == 1
    assert "DISK_FULL" in errors
    assert device.consent() == "UNASKED"
    disk.free()
    assert device.consent() == "UNASKED"


def test_erasing_on_a_full_disk_deletes_everything(device, disk):
    device.grant()
    disk.fill()
    code, output, errors = device.run("erase")
    assert (code, errors) == (0, "")
    assert "Everything is gone" in output
    left = {path.name for path in device.home.rglob("*") if path.is_file()}
    assert left <= {"lock"}
    disk.free()
    assert device.consent() == "UNASKED"


def test_erasing_on_a_read_only_home_changes_nothing_and_says_so(device, disk):
    device.grant()
    disk.remount("ro")
    code, output, errors = device.run("erase")
    assert (code, "gone" in output) == (1, False)
    assert "HOME_READ_ONLY" in errors
    disk.remount("rw")
    assert device.consent() == "GRANTED"


def test_p10_a_disk_that_is_full_at_any_step_of_a_round_loses_and_doubles_nothing(tmp_path):
    with SmallDisk(tmp_path / "disk", "16m") as disk:
        done = subprocess.run(
            disk.command(sys.executable, "-m", "tests.fakes.full_disk_life", disk.folder),
            env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    first, *lives = json.loads(done.stdout)
    assert (first["codes"], len(lives)) == ([], first["writes"])
    for life in lives:
        assert set(life["codes"]) <= {"DISK_FULL", "WORKER_FAILED"}, life
        assert (life["charges"], life["sent"], life["received"]) == (1, 1, 1), life
        assert (life["rows"], life["problems"], life["consent"]) == (20, [], "GRANTED"), life
    # Most writes do fail there; a few fit into pages that were allocated before.
    assert sum(bool(life["codes"]) for life in lives) > len(lives) // 2


def record_of(device):
    target = device.disk.folder / "export.json"
    device.answer("export", os.fspath(target))
    found = until(lambda: (device.disk.inside / "export.json").read_text(), what="the export")
    return json.loads(found)["consent"]
