"""A running agent keeps what it depends on: its home, its socket, a withdrawal, its program."""

import asyncio
import contextlib
import os
import signal
import sys

import pytest

from agent.daemon import upkeep
from agent.daemon.file_events import FileEvents
from agent.daemon.instance_lock import HomeLock
from agent.daemon.loop import Loop
from agent.errors import UserActionError
from agent.ipc.client import Channel
from agent.ipc.places import socket_of
from agent.paths import Home
from agent.program import replacement
from agent.program.process import Program
from agent.status import ConsentState
from agent.store.ledger import OutboxState
from tests.fakes.device import Device
from tests.fakes.timeouts import TIMEOUT_S

WHOLE, BROKEN = "print('aegis 2')", "raise SystemExit(1)"


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


@pytest.fixture(params=["events", "looks"])
def noticing(request, monkeypatch):
    """The system reports changes, or the agent has to look."""
    if request.param == "looks":
        monkeypatch.setattr(FileEvents, "watch", lambda *_: False)
        monkeypatch.setattr(upkeep, "LOOK_S", 0.02)


@pytest.fixture
def quick(monkeypatch):
    """Times of a replacement that a test can wait for."""
    for name in ("SETTLE_S", "GONE_S", "FIRST_RETRY_S"):
        monkeypatch.setattr(replacement, name, 0.0)


@contextlib.asynccontextmanager
async def running(device, program=None):
    loop = Loop(device.agent, draw=lambda: 0.5, program=program)
    task = asyncio.create_task(loop.run())
    await until(socket_of(Home(device.home)).exists)
    try:
        yield loop, task
    finally:
        device.agent.signals.request_quit()
        await asyncio.wait_for(task, TIMEOUT_S)


async def until(condition):
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def ask(device, method, **params):
    def blocking():
        with contextlib.closing(Channel(socket_of(Home(device.home)))) as channel:
            return channel.call(method, params, TIMEOUT_S)

    return await asyncio.to_thread(blocking)


async def test_a_socket_that_was_removed_is_made_anew(device, noticing):
    path = socket_of(Home(device.home))
    async with running(device):
        path.unlink()
        await until(path.exists)
        assert (await ask(device, "status"))["state"] == "off"


async def test_a_socket_that_was_replaced_is_ours_again(device, noticing, tmp_path):
    path, target = socket_of(Home(device.home)), tmp_path / "target"
    target.write_text("precious")
    async with running(device):
        path.unlink()
        path.symlink_to(target)
        await until(path.is_socket)
        assert await ask(device, "status")
    assert target.read_text() == "precious"


async def test_the_folder_of_the_socket_may_go_too(device, noticing):
    path = socket_of(Home(device.home))
    async with running(device):
        path.unlink()
        path.parent.rmdir()
        await until(path.exists)
        assert await ask(device, "status")
        path.unlink()
        await until(path.exists)


async def test_a_connection_outlives_the_name_of_its_socket(device):
    path = socket_of(Home(device.home))
    async with running(device):
        with contextlib.closing(await asyncio.to_thread(Channel, path)) as channel:
            path.unlink()
            await until(path.exists)
            assert await asyncio.to_thread(channel.call, "status", {}, TIMEOUT_S)


async def test_an_agent_that_cannot_make_a_socket_goes_on_and_tries_again(
    device, noticing, monkeypatch, caplog
):
    def refuse(*_):
        raise UserActionError("NO_SOCKETS", "None.", "")

    path = socket_of(Home(device.home))
    async with running(device) as (_, task):
        with monkeypatch.context() as patch:
            patch.setattr("agent.daemon.loop.place_socket", refuse)
            path.unlink()
            await until(lambda: "channel.not_reopened" in caplog.text)
            assert not task.done()
        (Home(device.home).run / "nudge").touch()
        await until(path.exists)


async def test_p2_a_mark_stops_the_work_and_becomes_a_record(device, noticing):
    await device.join()
    device.worker.gates["train"] = asyncio.Event()
    async with running(device):
        await ask(device, "run_now")
        await until(lambda: "train" in device.worker.calls)
        Home(device.home).withdrawal_mark.touch()
        await until(lambda: not Home(device.home).withdrawal_mark.exists())
        assert not device.agent.runner.is_busy
        status = await ask(device, "status")
        assert status["consent"]["state"] == "WITHDRAWN"
    device.restart()
    assert device.agent.gate.consent_status().state is ConsentState.WITHDRAWN


async def test_p2_nothing_is_sent_once_the_mark_is_there(device):
    """The gate looks at it before every send, however long the loop sleeps."""
    await device.join()
    calls = len(device.server.calls)
    Home(device.home).withdrawal_mark.touch()
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == "NO_CONSENT"
    assert len(device.server.calls) == calls


async def test_p2_a_mark_survives_until_the_record_can_be_written(device, monkeypatch, caplog):
    await device.join()
    mark = Home(device.home).withdrawal_mark

    def full(*_):
        raise UserActionError("DISK_FULL", "Full.", "")

    with monkeypatch.context() as patch:
        patch.setattr(type(device.agent.record), "catch_up", full)
        async with running(device):
            mark.touch()
            await until(lambda: "consent.not_recorded" in caplog.text)
            assert (await ask(device, "status"))["consent"]["state"] == "WITHDRAWN"
        device.restart()
    assert mark.exists()
    assert device.agent.gate.denial() is not None
    device.restart()
    assert not mark.exists()
    assert device.agent.gate.consent_status().state is ConsentState.WITHDRAWN


async def test_p2_a_mark_at_the_start_empties_the_outbox(device):
    await device.join()
    device.server.fail("send_update", ConnectionError())
    with contextlib.suppress(Exception):
        await device.run_cycle()
    assert device.agent.ledger.unsent()
    Home(device.home).withdrawal_mark.touch()
    device.restart()
    assert device.agent.ledger.unsent() == []
    states = {entry.state for entry in device.agent.ledger.entries()}
    assert OutboxState.WITHDRAWN in states


async def test_an_agent_whose_home_was_replaced_ends(device, noticing, caplog):
    lock = Home(device.home).lock
    with HomeLock(lock):
        async with running(device) as (_, task):
            (lock.parent / "new").touch()
            (lock.parent / "new").replace(lock)
            await until(task.done)
    assert "home.lost" in caplog.text


@pytest.fixture
def program(tmp_path):
    """A program of one file, which answers as the file says."""
    folder = tmp_path / "program"
    folder.mkdir()
    file = folder / "__init__.py"
    file.write_text(WHOLE)
    return Program((sys.executable, "-S", str(file)), ("run",), file)


def replace(program, text):
    new = program.file.with_name("new")
    new.write_text(text)
    new.replace(program.file)


async def test_a_program_that_was_replaced_takes_over(device, program, noticing, quick):
    async with running(device, program) as (loop, task):
        replace(program, WHOLE + "\n")
        await until(task.done)
        assert loop.must_restart


async def test_a_broken_program_never_takes_over_and_a_mended_one_does(
    device, program, quick, caplog
):
    caplog.set_level("INFO")
    async with running(device, program) as (loop, task):
        replace(program, BROKEN)
        await until(lambda: "whole=False" in caplog.text)
        assert not task.done()
        assert await ask(device, "status")
        replace(program, WHOLE)
        await until(task.done)
        assert loop.must_restart


async def test_without_its_files_the_agent_ends(device, program, noticing, quick):
    async with running(device, program) as (loop, task):
        program.file.unlink()
        program.file.parent.rmdir()
        await until(task.done)
        assert not loop.must_restart


async def test_a_signal_asks_the_program_even_if_its_files_look_alike(device, program):
    async with running(device, program) as (loop, task):
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(task.done)
        assert loop.must_restart


async def test_a_sending_that_has_begun_is_finished_before_a_new_program_starts(
    device, program, quick, monkeypatch
):
    waited = []

    async def finish(_, timeout_s):
        waited.append(timeout_s)

    monkeypatch.setattr(type(device.agent.runner), "finish_sending", finish)
    async with running(device, program) as (_, task):
        replace(program, WHOLE + "\n")
        await until(task.done)
    assert waited == [upkeep.FINISH_S]
