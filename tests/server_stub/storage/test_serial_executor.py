import asyncio
import sqlite3
import threading

import pytest

from server_stub.storage import serial_executor as module
from server_stub.storage.serial_executor import SerialExecutor
from server_stub.storage.store import Store


@pytest.fixture
def executor():
    made = SerialExecutor()
    yield made
    made.close()


def where():
    return threading.get_ident()


def test_a_short_job_runs_here_and_a_long_one_beside(executor):
    async def both():
        return await executor.run_short(where), await executor.run(where)

    here, beside = asyncio.run(both())
    assert here == threading.get_ident() != beside


def test_a_short_job_waits_while_another_has_the_turn_and_the_loop_goes_on(executor):
    begun, may_end, order = threading.Event(), threading.Event(), []

    def long():
        begun.set()
        assert may_end.wait(20)
        order.append("long")

    async def story():
        under_way = asyncio.create_task(executor.run(long))
        while not begun.is_set():
            await asyncio.sleep(0)
        short = asyncio.create_task(executor.run_short(lambda: order.append("short")))
        await asyncio.sleep(0)
        order.append("the loop")
        may_end.set()
        await asyncio.gather(under_way, short)

    asyncio.run(story())
    assert order == ["the loop", "long", "short"]


def test_after_a_slow_one_the_next_go_through_the_thread_for_a_while(executor, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def slow():
        now[0] += 2 * module.SLOW_S

    async def story():
        await executor.run_short(slow)
        after = await executor.run_short(where)
        now[0] += 2 * module.TIMEOUT_S
        return after, await executor.run_short(where)

    after, later = asyncio.run(story())
    assert after != threading.get_ident() == later


def test_a_database_that_another_process_writes_to_is_waited_for_while_the_loop_goes_on(
    executor, tmp_path
):
    path = tmp_path / "a.sqlite3"
    store = Store(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tried = []

    def write():
        tried.append(threading.get_ident())
        with store.direct.writing() as sql:
            sql.execute(
                "INSERT INTO devices (device_id, enrolled_at, erase_hash) VALUES ('d', 1, '')"
            )
        return "written"

    async def story():
        job = asyncio.create_task(executor.run_short(write))
        while len(tried) < 3:
            await asyncio.sleep(0)
        other.execute("COMMIT")
        return await job

    assert asyncio.run(story()) == "written"
    assert tried[0] == threading.get_ident() not in tried[1:]
    assert [device["device_id"] for device in store.devices()] == ["d"]
    other.close()
    store.close()


def test_a_job_that_fails_gives_its_turn_back(executor):
    def fail():
        raise ValueError("no")

    async def story():
        for run in (executor.run_short, executor.run, executor.run_short):
            with pytest.raises(ValueError, match="no"):
                await run(fail)
        return await executor.run_short(where)

    assert asyncio.run(story()) == threading.get_ident()
