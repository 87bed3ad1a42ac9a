"""Work that was begun ends, whoever stops waiting for it."""

import asyncio

import pytest

from agent.rounds.completion import run_to_completion


async def test_the_result_and_the_error_reach_the_caller():
    async def job(value):
        if value is None:
            raise ValueError("nothing to do")
        return value

    assert await run_to_completion(job(7)) == 7
    with pytest.raises(ValueError, match="nothing to do"):
        await run_to_completion(job(None))


async def test_p2_a_caller_that_is_cancelled_does_not_stop_the_work():
    steps, proceed, ended = [], asyncio.Event(), asyncio.Event()

    async def job():
        steps.append("begun")
        await proceed.wait()
        steps.append("ended")
        ended.set()

    caller = asyncio.create_task(run_to_completion(job()))
    while not steps:
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert steps == ["begun"]
    proceed.set()
    async with asyncio.timeout(60):
        await ended.wait()
    assert steps == ["begun", "ended"]
