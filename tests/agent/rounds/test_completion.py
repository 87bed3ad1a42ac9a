"""Work that must be finished is finished, whatever becomes of its caller."""

import asyncio
import gc

import pytest

from agent.rounds.completion import run_to_completion


async def test_the_result_reaches_the_caller():
    async def job():
        await asyncio.sleep(0)
        return 42

    assert await run_to_completion(job()) == 42


async def test_an_error_reaches_the_caller():
    async def job():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_to_completion(job())


async def test_a_cancelled_caller_does_not_stop_the_job():
    started, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def job():
        started.set()
        await release.wait()
        finished.set()

    caller = asyncio.create_task(run_to_completion(job()))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not finished.is_set()
    del caller
    gc.collect()  # the event loop alone would not keep the job alive
    release.set()
    async with asyncio.timeout(60):
        await finished.wait()
