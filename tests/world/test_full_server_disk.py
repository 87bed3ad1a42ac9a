"""A server whose disk is full: it answers, lives on, and continues when there is room again.

The real server in processes of its own, on a small tmpfs, with a device's own client.
"""

import os
import subprocess
from functools import partial

import pytest

from agent.errors import AegisError
from agent.transport.responses import RetryLater
from server_stub.rounds.lifecycle import State
from tests.fakes.group_devices import GroupDevice
from tests.fakes.group_rounds import MESSAGES, assert_mean, join_window, wait_for_end
from tests.fakes.server_commands import COMMAND
from tests.fakes.server_process import ServerProcess
from tests.fakes.small_disk import SmallDisk
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a disk needs root"
    ),
]
OPTIONS = ("--mode", "local", "--rounds-target", "3", "--rounds-minimum", "1")
DEVICES = 4
GROUPS = (
    *("--group-floor", "3", "--ready-target", str(DEVICES), "--min-rows", "4"),
    *("--lead-seconds", "0", "--join-seconds", "120", "--phase-seconds", "120"),
    *("--epsilon", "300", "--rounds-planned", "1", "--fast-spending"),
)
COMMANDS = (
    ("token", "create", "--server", "https://localhost:1"),
    ("devices", "revoke", "urn:uuid:00000000-0000-4000-8000-000000000000"),
    ("stats",),
    ("model", "rollback", "--to", "1"),
    ("keys", "renew"),
    ("run",),
    ("ca", "run", "--until-input-ends"),
)


@pytest.fixture
def disk(tmp_path):
    with SmallDisk(tmp_path / "disk", "8m") as disk:
        yield disk


def code_of(call):
    """The code of the error that a call raises; "" for none."""
    try:
        call()
    except AegisError as error:
        return error.code
    return ""


def patiently(call):
    """What a call returns once a busy machine lets the server answer in time."""
    found = []

    def answered():
        try:
            found.append(call())
        except RetryLater:
            return False
        return True

    until(answered, what="an answer", poll_s=1)
    return found[-1]


def test_p10_a_full_disk_stops_no_server_and_loses_nothing_at_any_step_of_a_round(disk, tmp_path):
    with ServerProcess(tmp_path, *OPTIONS, "--round-seconds", "30", disk=disk) as server:
        token = server.token(uses=2)
        first = server.enrol(token)

        disk.fill()
        assert code_of(lambda: server.enrol(token)) == "SERVER_BUSY"
        disk.free()
        second = patiently(lambda: server.enrol(token))

        disk.fill()
        body = first.update(0.01)
        assert code_of(lambda: first.client.send_update(body)) == "SERVER_BUSY"
        assert code_of(first.client.offer) == ""
        assert server.process.poll() is None
        disk.free()
        receipt = patiently(lambda: first.client.send_update(body))
        assert patiently(lambda: first.client.send_update(body)) == receipt
        other = patiently(lambda: second.update(0.02))
        patiently(lambda: second.client.send_update(other))

        # Its time is over, and the round can neither be closed nor combined.
        disk.fill()
        version = patiently(first.client.offer).model_version
        round_id = receipt.round_id
        until(
            lambda: _is_past(patiently(first.client.offer)), what="the end of the round", poll_s=1
        )
        assert first.client.offer().model_version == version
        assert server.process.poll() is None

        # The answers stay what they were, even after a power cut.
        server.kill()
        disk.free()
        server.start()
        again = server.client(first.file.load())
        until(
            lambda: patiently(again.offer).model_version > version, what="the next model", poll_s=1
        )
        assert server.command("rounds", "show", str(round_id))["updates"] == 2
        assert code_of(lambda: again.send_update(body)) in ("", "ROUND_CLOSED")


def _is_past(offer):
    return offer.round is None or offer.time > offer.round.closes_at + 2


def test_p10_a_full_disk_at_every_phase_of_a_group_loses_nothing(disk, tmp_path):
    """The disk is full for the message that ends each phase: draw, witness and sum included."""
    with ServerProcess(tmp_path, *GROUPS, disk=disk) as server:
        token = server.token(uses=DEVICES)
        devices = [
            GroupDevice(server.enrol(token), 0.01 * (1 + number)) for number in range(DEVICES)
        ]
        join_window(devices)
        refused = []
        for kind in MESSAGES:
            *carried, last = [partial(one.carry, kind, one.make(kind)) for one in devices]
            for carry in carried:
                patiently(carry)
            disk.fill()
            refused.append(code_of(last))
            assert server.process.poll() is None
            if kind == "masked":
                server.kill()
            disk.free()
            if kind == "masked":
                server.start()
                for device in devices:
                    device.reconnect(server)
            patiently(last)
        ended = wait_for_end(server)
        assert set(refused) <= {"", "SERVER_BUSY"}
        assert refused.count("SERVER_BUSY") >= 3, refused
        assert (ended.state, ended.updates, ended.model_version) == (State.DONE, DEVICES, 2)
        assert_mean(server, devices, ended)


@pytest.mark.parametrize("limit", ["full", "read-only", "few descriptors"])
def test_p11_every_command_says_what_is_wrong_without_a_stack_of_calls(disk, tmp_path, limit):
    server = ServerProcess(tmp_path, *OPTIONS, disk=disk)
    before = ()
    if limit == "full":
        disk.fill()
    elif limit == "read-only":
        disk.remount("ro")
    else:
        before = ("prlimit", "--nofile=12")
    for words in COMMANDS:
        if limit == "few descriptors" and words in (("run",), COMMANDS[-1]):
            continue  # a server raises its own limit, and would serve until it is ended
        done = subprocess.run(
            disk.command(*before, *COMMAND, *words, "--home", os.fspath(server.place)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, (words, done.stderr)
        assert done.returncode in (0, 1), (words, done.stderr)
        # `run` repeats what its authority says and adds its own.
        assert len(done.stderr.splitlines()) <= 1 + (words == ("run",)), (words, done.stderr)
        if limit == "full" and done.returncode == 1 and "DATABASE" in done.stderr:
            assert "No space left on device" in done.stderr
