"""Database work runs one job at a time and never stops the event loop."""

import asyncio
import sqlite3
import threading

import pytest

from server_stub.storage import serial_executor as module
from server_stub.storage.database import RawConnection, open_database
from server_stub.storage.serial_executor import SerialExecutor
from tests.fakes.timeouts import TIMEOUT_S


@pytest.fixture
def executor():
    opened = SerialExecutor()
    yield opened
    opened.close()


async def test_a_short_job_runs_on_the_loop_and_a_long_one_in_the_thread(executor):
    here = threading.get_ident()
    assert await executor.run_short(threading.get_ident) == here
    assert await executor.run(threading.get_ident) != here


async def test_a_short_job_waits_for_the_running_one_while_the_loop_goes_on(executor):
    begun, may_end, order = threading.Event(), threading.Event(), []

    def long():
        begun.set()
        assert may_end.wait(TIMEOUT_S)
        order.append("long")

    running = asyncio.create_task(executor.run(long))
    while not begun.is_set():
        await asyncio.sleep(0)
    short = asyncio.create_task(executor.run_short(order.append, "short"))
    await asyncio.sleep(0)
    order.append("loop")
    may_end.set()
    await asyncio.gather(running, short)
    assert order == ["loop", "long", "short"]


async def test_after_a_slow_job_short_ones_use_the_thread_for_a_while(executor, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def slow():
        now[0] += 2 * module.SLOW_S

    await executor.run_short(slow)
    soon = await executor.run_short(threading.get_ident)
    now[0] += 2 * module.IN_THREAD_S
    later = await executor.run_short(threading.get_ident)
    assert soon != threading.get_ident() == later


async def test_a_job_is_retried_in_the_thread_while_another_process_holds_the_database(
    executor, tmp_path
):
    path = tmp_path / "a.sqlite3"
    engine = open_database(f"sqlite:///{path}", "aggregator")
    raw = RawConnection(engine, waits=False)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    attempts = []

    def write():
        attempts.append(threading.get_ident())
        with raw.transaction() as sql:
            sql.execute("INSERT INTO devices VALUES ('d', 1, '', NULL)")
        return "written"

    job = asyncio.create_task(executor.run_short(write))
    while len(attempts) < 3:
        await asyncio.sleep(0)
    other.execute("COMMIT")
    assert await job == "written"
    assert attempts[0] == threading.get_ident() not in attempts[1:]
    assert other.execute("SELECT device_id FROM devices").fetchall() == [("d",)]
    other.close()
    raw.close()
    engine.dispose()


async def test_a_database_that_stays_locked_ends_in_an_error(executor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 0)
    path = tmp_path / "a.sqlite3"
    engine = open_database(f"sqlite:///{path}", "aggregator")
    raw = RawConnection(engine, waits=False)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def write():
        with raw.transaction():
            raise AssertionError("the database was not locked")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await executor.run_short(write)
    other.close()
    raw.close()
    engine.dispose()


async def test_a_job_that_fails_lets_the_next_one_run(executor):
    def fail():
        raise ValueError("no")

    for run in (executor.run_short, executor.run, executor.run_short):
        with pytest.raises(ValueError, match="no"):
            await run(fail)
    assert await executor.run_short(threading.get_ident) == threading.get_ident()
