"""Blocking calls run beside the event loop."""

import asyncio
import threading

import pytest

from agent.transport.blocking import THREADS, BlockingPool


@pytest.fixture
def pool():
    pool = BlockingPool()
    yield pool
    pool.close(wait=True)


async def test_a_call_runs_in_another_thread_and_returns_its_result(pool):
    assert await pool.run(lambda: 6 * 7) == 42
    assert await pool.run(threading.get_ident) != threading.get_ident()


async def test_an_error_of_a_call_reaches_the_caller(pool):
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)


async def test_closing_waits_for_no_call_under_way_and_drops_the_others():
    pool, go_on, started, ran = BlockingPool(), threading.Event(), threading.Semaphore(0), []

    def hang():
        started.release()
        assert go_on.wait(60)

    hanging = [asyncio.ensure_future(pool.run(hang)) for _ in range(THREADS)]
    for _ in hanging:
        await asyncio.to_thread(started.acquire)
    queued = asyncio.ensure_future(pool.run(lambda: ran.append(1)))
    await asyncio.sleep(0)  # let the call reach the pool's queue
    pool.close()
    with pytest.raises(asyncio.CancelledError):
        await queued
    go_on.set()
    await asyncio.gather(*hanging)
    assert ran == []
