"""Work that must be finished is finished, whatever becomes of its caller."""

import asyncio
import gc
import weakref

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
    started, finished, steps = asyncio.Event(), asyncio.Event(), []

    async def job():
        step = asyncio.get_running_loop().create_future()
        # Weakly, so that nothing here keeps the job alive: the event loop does not, either.
        steps.append(weakref.ref(step))
        started.set()
        await step
        finished.set()

    caller = asyncio.create_task(run_to_completion(job()))
    await started.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    del caller
    await asyncio.sleep(0)  # let the event loop drop the caller, too
    gc.collect()
    step = steps[0]()
    assert step is not None
    assert not finished.is_set()
    step.set_result(None)
    async with asyncio.timeout(60):
        await finished.wait()
